#include "queue/request.h"

#include "common/memory.h"
#include "queue/past.h"

#include <stdlib.h>

/* clang-format off */
static const struct {
    const char *name;
    bool changes; /* needs the right to, and a running queue */
    bool reveals; /* what is in messages: needs the same right */
    bool sites;   /* is about them, and needs a running queue */
    bool needs_filter;
} verbs[] = {
    /*                      name            changes reveals sites  needs_filter */
    [VERB_STATUS]       = { "status",       false,  false,  false, false },
    [VERB_LIST]         = { "list",         false,  false,  false, false },
    [VERB_SHOW]         = { "show",         false,  false,  false, true },
    [VERB_TRACE]        = { "trace",        false,  false,  false, true },
    [VERB_GET]          = { "get",          false,  true,   false, true },
    [VERB_PUT]          = { "put",          true,   false,  false, false },
    [VERB_RETRY]        = { "retry",        true,   false,  false, true },
    [VERB_HOLD]         = { "hold",         true,   false,  false, true },
    [VERB_RELEASE]      = { "release",      true,   false,  false, true },
    [VERB_DELETE]       = { "delete",       true,   false,  false, true },
    [VERB_UNDELETE]     = { "undelete",     true,   false,  false, true },
    [VERB_DESTINATIONS] = { "destinations", false,  false,  true,  false },
    [VERB_OPEN]         = { "open",         true,   false,  true,  true },
    [VERB_CLOSE]        = { "close",        true,   false,  true,  true },
};
/* clang-format on */

/* ---- which messages ---- */

/* %XX in place: the result is never longer. False: a wrong escape. */
static bool unescape(char *text, size_t len, struct view *out)
{
    size_t to = 0;
    uint64_t byte;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            text[to++] = text[i];
            continue;
        }
        if (len - i < 3 || !view_hex_to_u64(view_make(text + i + 1, 2), &byte))
            return false;
        text[to++] = (char)byte;
        i += 2;
    }
    *out = view_make(text, to);
    return true;
}

static bool add_id(struct filter *f, struct view value)
{
    uint64_t id;

    if (!view_hex_to_u64(value, &id))
        return false;
    f->ids = memory_grow(f->ids, f->id_count + 1, sizeof(*f->ids));
    f->ids[f->id_count++] = id;
    return true;
}

static bool set_state(struct filter *f, struct view value)
{
    for (unsigned s = 0; s < MAIL_STATES; s++) {
        if (view_equal(value, view_of(row_state_name((enum mail_state)s)))) {
            f->state = (enum mail_state)s;
            f->by_state = true;
            return true;
        }
    }
    return false;
}

static bool set_view(bool *by, struct view *field, struct view value)
{
    *by = true;
    *field = value;
    return true;
}

static bool add_condition(struct filter *f, struct view key, struct view value)
{
    f->any = true;
    if (view_equal(key, VIEW("all")))
        return true;
    if (view_equal(key, VIEW("id")))
        return add_id(f, value);
    if (view_equal(key, VIEW("sender")))
        return set_view(&f->by_sender, &f->sender,
                        view_equal(value, VIEW("<>")) ? VIEW_EMPTY : value);
    if (view_equal(key, VIEW("recipient")))
        return set_view(&f->by_rcpt, &f->rcpt, value);
    if (view_equal(key, VIEW("domain")))
        return set_view(&f->by_domain, &f->domain, value);
    if (view_equal(key, VIEW("name"))) {
        f->name = value;
        return value.len > 0;
    }
    if (view_equal(key, VIEW("word")))
        return set_view(&f->by_word, &f->word, value);
    return view_equal(key, VIEW("state")) && set_state(f, value);
}

static const char *read_filter(struct request *r, struct view words)
{
    struct filter *f = &r->filter;
    bool sites = verbs[r->verb].sites, needed = verbs[r->verb].needs_filter;
    struct view word, value;
    uint64_t id;

    while ((word = view_take_word(&words)).len > 0) {
        struct view key = view_take_until(&word, '=');

        if (!unescape(r->text + (word.ptr - r->text), word.len, &value) ||
            !add_condition(f, key, value))
            return "a filter is not understood; an id has sixteen hexadecimal digits";
    }
    if (needed && sites && f->name.len == 0)
        return "which destination?";
    if (needed && !f->any)
        return "which messages?";
    if (r->verb != VERB_TRACE)
        return NULL;
    if (!f->by_word || f->word.len == 0)
        return "what is to be traced?";
    /* A message that is in the queue is found there by its id at once. */
    if (past_is_id(f->word, &id) && !add_id(f, f->word))
        return "what is to be traced?";
    return NULL;
}

/* ---- a message that is brought ---- */

static bool read_plan(struct view words, struct import_plan *plan)
{
    struct view word;
    uint64_t number;

    while ((word = view_take_word(&words)).len > 0) {
        struct view key = view_take_until(&word, '=');

        if (view_equal(key, VIEW("crc")) ? !view_hex_to_u64(word, &number)
                                         : !view_to_u64(word, UINT32_MAX, &number))
            return false;
        if (view_equal(key, VIEW("envelope")))
            plan->envelope_bytes = number;
        else if (view_equal(key, VIEW("size")))
            plan->body_bytes = number;
        else if (view_equal(key, VIEW("crc")))
            plan->body_crc = (uint32_t)number;
        else if (view_equal(key, VIEW("hold")))
            plan->hold = number != 0;
        else
            return false;
    }
    return true;
}

/* ---- the request ---- */

static bool find_verb(struct view word, enum verb *verb)
{
    for (unsigned i = 0; i < COUNT_OF(verbs); i++) {
        if (view_equal(word, view_of(verbs[i].name))) {
            *verb = (enum verb)i;
            return true;
        }
    }
    return false;
}

/* NULL: it is allowed; else why not. */
static const char *check_rights(const struct request *r, const struct request_rights *rights)
{
    if ((verbs[r->verb].changes || verbs[r->verb].sites) && rights->offline)
        return "nothing runs: start Tern first";
    if (verbs[r->verb].changes && !rights->may_change)
        return "not permitted: only root and Tern's own user may change the queue";
    /* Offline, who could not read the spool would not have come so far. */
    if (verbs[r->verb].reveals && !rights->may_change && !rights->offline)
        return "not permitted: only root and Tern's own user may read messages";
    return NULL;
}

const char *request_read(struct request *r, struct view line, const struct request_rights *rights)
{
    struct view words;
    const char *wrong;

    *r = (struct request){ .text = memory_copy(line) };
    words = view_of(r->text);
    if (!find_verb(view_take_word(&words), &r->verb))
        return "no such request";
    wrong = check_rights(r, rights);
    if (wrong != NULL)
        return wrong;
    if (r->verb == VERB_PUT)
        return read_plan(words, &r->plan) ? NULL : "put needs envelope=, size= and crc=";
    return read_filter(r, words);
}

void request_release(struct request *r)
{
    free(r->filter.ids);
    free(r->text);
    *r = (struct request){ .text = NULL };
}

bool request_changes(const struct request *r)
{
    return verbs[r->verb].changes;
}

bool request_is_about_sites(const struct request *r)
{
    return verbs[r->verb].sites;
}
