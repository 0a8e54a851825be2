#include "queue/control.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/backoff.h"
#include "queue/history.h"
#include "queue/import.h"
#include "queue/parcel.h"
#include "queue/row.h"
#include "queue/search.h"
#include "queue/siterow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 32,
    REQUEST_MAX = 128 * 1024, /* bytes of a line: some thousand ids */
    OUTPUT_MARK = 65536,      /* bytes that wait: no further row is made */
    MESSAGES_PER_TURN = 200,  /* looked at for one client; each may be a read */
    HISTORY_PAUSE_MS = 5,     /* between looks whether the history is written */
    ACCEPT_PAUSE_MS = 1000,   /* when there are no descriptors left */
};

enum verb {
    VERB_STATUS,
    VERB_LIST,
    VERB_SHOW,
    VERB_TRACE,
    VERB_GET,
    VERB_PUT,
    VERB_RETRY,
    VERB_HOLD,
    VERB_RELEASE,
    VERB_DELETE,
    VERB_UNDELETE,
    VERB_DESTINATIONS, /* from here on about sites, not messages */
    VERB_OPEN,
    VERB_CLOSE
};

/* clang-format off */
static const struct {
    const char *name;
    bool changes; /* needs the right to, and a running queue */
    bool reveals; /* what is in messages: needs the same right */
    bool needs_filter;
} verbs[] = {
    /*                 name       changes reveals needs_filter */
    [VERB_STATUS]  = { "status",  false,  false,  false },
    [VERB_LIST]    = { "list",    false,  false,  false },
    [VERB_SHOW]    = { "show",    false,  false,  true },
    [VERB_TRACE]   = { "trace",   false,  false,  true },
    [VERB_GET]     = { "get",     false,  true,   true },
    [VERB_PUT]     = { "put",     true,   false,  false },
    [VERB_RETRY]   = { "retry",   true,   false,  true },
    [VERB_HOLD]    = { "hold",    true,   false,  true },
    [VERB_RELEASE] = { "release", true,   false,  true },
    [VERB_DELETE]  = { "delete",  true,   false,  true },
    [VERB_UNDELETE] = { "undelete", true, false,  true },
    [VERB_DESTINATIONS] = { "destinations", false, false, false },
    [VERB_OPEN]    = { "open",    true,   false,  true },
    [VERB_CLOSE]   = { "close",   true,   false,  true },
};
/* clang-format on */

/* Which messages; empty views and zero counts ask for nothing. */
struct filter {
    uint64_t *ids;
    size_t id_count;
    bool by_sender, by_rcpt, by_domain, by_state, by_word, any;
    struct view sender, rcpt, domain;
    struct view name; /* of a destination */
    struct view word; /* of a trace: an id, an address, a Message-ID */
    enum mail_state state;
};

struct control {
    struct queue *queue;
    struct watch listener;
    struct timer pause;
    struct list clients;
    size_t client_count;
    bool offline; /* one client, and the loop ends with it */
};

struct client {
    struct watch watch;
    struct list link;
    struct control *control;
    bool may_change;
    bool busy;    /* a request is being answered */
    bool ended;   /* the other side will say no more */
    char who[32]; /* for the record: "uid 0" */
    struct buf input, output;
    char *request; /* the values of `filter` point into it */
    enum verb verb;
    struct filter filter;
    uint64_t cursor, matched;
    struct parcel parcel;  /* of VERB_GET, on its way out */
    struct import *import; /* of VERB_PUT; NULL: none */
    bool past;             /* VERB_TRACE has looked through the queue */
    struct search *search; /* and now looks through the history */
    uint64_t history_mark; /* likewise: what it waits for before */
    struct timer pause;    /* runs while it waits */
    struct deferred step, free_later;
};

struct control *control_new(struct queue *q)
{
    struct control *c = memory_new(sizeof(*c));

    c->queue = q;
    c->listener.fd = -1;
    list_init(&c->clients);
    return c;
}

/* ---- clients ---- */

static void forget_request(struct client *c)
{
    free(c->filter.ids);
    search_free(&c->search);
    free(c->request);
    c->filter = (struct filter){ .id_count = 0 };
    c->request = NULL;
    c->busy = false;
}

static void on_free(struct deferred *d)
{
    struct client *c = container_of(d, struct client, free_later);

    forget_request(c);
    parcel_drop(&c->parcel);
    import_leave(&c->import);
    buf_free(&c->input);
    buf_free(&c->output);
    free(c);
}

static void close_client(struct client *c)
{
    struct loop *l = c->control->queue->loop;

    if (c->watch.fd < 0)
        return;
    loop_unwatch(l, &c->watch);
    close(c->watch.fd);
    c->watch.fd = -1;
    list_remove(&c->link);
    c->control->client_count--;
    import_leave(&c->import);
    loop_stop_timer(l, &c->pause);
    if (c->control->offline)
        loop_stop(l);
    if (!c->step.queued) /* else the step frees it */
        loop_defer(l, &c->free_later);
}

static bool wants_input(const struct client *c)
{
    return !c->ended && (!c->busy || (c->import != NULL && import_wants_more(c->import)));
}

static void set_watch(struct client *c)
{
    unsigned wanted = 0;

    if (buf_len(&c->output) > 0)
        wanted |= WANT_WRITE;
    if (wants_input(c))
        wanted |= WANT_READ;
    if (loop_watch(c->control->queue->loop, &c->watch, wanted) < 0)
        close_client(c);
}

static void flush(struct client *c)
{
    struct view bytes = buf_view(&c->output);
    ssize_t n;

    if (bytes.len == 0)
        return;
    n = send(c->watch.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        close_client(c);
        return;
    }
    if (n > 0)
        buf_consume(&c->output, (size_t)n);
}

/* ---- requests ---- */

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

/* NULL: the client may; else why not. */
static const char *check_rights(const struct client *c)
{
    if ((verbs[c->verb].changes || c->verb >= VERB_DESTINATIONS) && c->control->offline)
        return "nothing runs: start Tern first";
    if (verbs[c->verb].changes && !c->may_change)
        return "not permitted: only root and Tern's own user may change the queue";
    /* Offline, who could not read the spool would not have come so far. */
    if (verbs[c->verb].reveals && !c->may_change && !c->control->offline)
        return "not permitted: only root and Tern's own user may read messages";
    return NULL;
}

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

static void on_imported(void *arg, enum import_result result, uint64_t id)
{
    static const char *const reasons[] = {
        [IMPORT_DONE] = "",
        [IMPORT_MALFORMED] = "the envelope is malformed, or the message was cut",
        [IMPORT_REFUSED] = "the spool takes no mail now",
    };
    struct client *c = arg;

    c->import = NULL;
    if (result == IMPORT_DONE)
        buf_printf(&c->output,
                   "{\"v\":1,\"id\":\"%016" PRIx64 "\"}\n{\"end\":true,\"matched\":1}\n", id);
    else
        buf_printf(&c->output, "{\"error\":\"%s\"}\n", reasons[result]);
    forget_request(c);
    loop_defer(c->control->queue->loop, &c->step);
}

static const char *begin_import(struct client *c, struct view words)
{
    struct import_plan plan = { .who = view_of(c->who) };

    if (!read_plan(words, &plan))
        return "put needs envelope=, size= and crc=";
    c->import = import_new(c->control->queue, &plan, on_imported, c);
    if (c->import == NULL)
        return "the spool has no room for this message now";
    buf_put(&c->output, VIEW("{\"ready\":true}\n"));
    return NULL;
}

static void feed_import(struct client *c)
{
    size_t used = import_feed(c->import, buf_view(&c->input));

    buf_consume(&c->input, used);
    if (c->ended && import_wants_more(c->import))
        close_client(c);
}

/* A message that is in the queue is found there by its id at once. */
static const char *begin_trace(struct client *c)
{
    uint64_t id;

    if (!c->filter.by_word || c->filter.word.len == 0)
        return "what is to be traced?";
    if (past_is_id(c->filter.word, &id) && !add_id(&c->filter, c->filter.word))
        return "what is to be traced?";
    c->history_mark = history_flush(c->control->queue->history);
    return NULL;
}

/* NULL: the request is understood and allowed; else what is wrong with it. */
static const char *read_request(struct client *c)
{
    struct view line = view_of(c->request);
    struct view word = view_take_word(&line);
    const char *wrong;

    if (!find_verb(word, &c->verb))
        return "no such request";
    wrong = check_rights(c);
    if (wrong != NULL)
        return wrong;
    if (c->verb == VERB_PUT)
        return begin_import(c, line);
    while ((word = view_take_word(&line)).len > 0) {
        struct view key = view_take_until(&word, '=');
        struct view value;

        if (!unescape(c->request + (word.ptr - c->request), word.len, &value) ||
            !add_condition(&c->filter, key, value))
            return "a filter is not understood; an id has sixteen hexadecimal digits";
    }
    if (verbs[c->verb].needs_filter && c->verb >= VERB_DESTINATIONS && c->filter.name.len == 0)
        return "which destination?";
    if (verbs[c->verb].needs_filter && !c->filter.any)
        return "which messages?";
    if (c->verb == VERB_TRACE)
        return begin_trace(c);
    return NULL;
}

/* ---- answers ---- */

static bool has_rcpt(const struct queue *q, const struct mail *m, const struct envelope *e,
                     const struct filter *f)
{
    for (uint32_t u = m->units; u != POOL_NONE; u = index_next_unit(&q->index, u)) {
        rcpts_each (i, &index_unit(&q->index, u)->rcpts, m->rcpt_count) {
            struct view address = e->rcpts[i].address;
            struct view domain = view_from(address, view_find_last(address, '@') + 1);

            if ((!f->by_rcpt || view_equal_nocase(address, f->rcpt)) &&
                (!f->by_domain || view_equal_nocase(domain, f->domain)))
                return true;
        }
    }
    return false;
}

static bool fits_envelope(const struct queue *q, const struct mail *m, const struct envelope *e,
                          const struct filter *f)
{
    if (f->by_sender && !view_equal_nocase(e->sender, f->sender))
        return false;
    if (f->by_word && !past_means(m->id, e, f->word))
        return false;
    return (!f->by_rcpt && !f->by_domain) || has_rcpt(q, m, e, f);
}

static void act(struct client *c, uint32_t mail, const struct envelope *e)
{
    struct queue *q = c->control->queue;
    struct view who = view_of(c->who);

    switch (c->verb) {
    case VERB_LIST:
    case VERB_SHOW:
    case VERB_TRACE:
        row_write(q, mail, e, c->verb != VERB_LIST, &c->output);
        break;
    case VERB_GET:
        parcel_pack(&c->parcel, q, mail);
        break;
    case VERB_RETRY:
        queue_retry(q, mail);
        break;
    case VERB_HOLD:
        queue_hold(q, mail, who);
        break;
    case VERB_RELEASE:
        queue_release(q, mail, who);
        break;
    case VERB_DELETE:
        if (queue_in_trash(index_mail(&q->index, mail)))
            queue_purge(q, mail);
        else
            queue_delete(q, mail, who);
        break;
    case VERB_UNDELETE:
        queue_undelete(q, mail, who);
        break;
    case VERB_STATUS:
    case VERB_PUT:
    case VERB_DESTINATIONS:
    case VERB_OPEN:
    case VERB_CLOSE:
        break;
    }
}

/* What cannot be read back can still be named by its id and deleted; it shows no addresses. */
static void answer_unread(struct client *c, uint32_t mail)
{
    const struct envelope unknown = { .rcpt_count = 0 };
    struct queue *q = c->control->queue;
    const struct mail *m = index_mail(&q->index, mail);

    if (c->filter.by_sender || c->filter.by_rcpt || c->filter.by_domain ||
        (c->filter.by_word && c->filter.id_count == 0))
        return;
    c->matched++;
    if (verbs[c->verb].changes)
        act(c, mail, &unknown);
    else
        buf_printf(&c->output,
                   "{\"v\":1,\"id\":\"%016" PRIx64 "\",\"state\":\"%s\",\"size\":%u,"
                   "\"reason\":\"cannot be read from the spool\",\"rcpts\":[]}\n",
                   m->id, row_state_name(row_state(q, m)), m->body_bytes);
}

/* What was deleted is there only for who looks for it. */
static bool is_meant(const struct client *c, const struct mail *m)
{
    const struct filter *f = &c->filter;
    bool running = c->control->queue->dispatch != NULL;
    bool looked_for = c->verb == VERB_UNDELETE || c->verb == VERB_TRACE ||
                      (f->by_state && f->state == MAIL_IS_DELETED) ||
                      (f->id_count > 0 && !verbs[c->verb].changes);

    if ((m->flags & MAIL_DELETED) == 0)
        return c->verb != VERB_UNDELETE;
    return looked_for && (!running || queue_in_trash(m));
}

static void consider(struct client *c, uint32_t mail)
{
    struct queue *q = c->control->queue;
    const struct mail *m = index_mail(&q->index, mail);
    struct content content;

    if (m->id == 0 || m->units == POOL_NONE || !is_meant(c, m) ||
        (c->filter.by_state && row_state(q, m) != c->filter.state))
        return;
    if (content_open(q, m, false, &content) < 0) {
        answer_unread(c, mail);
        return;
    }
    if (fits_envelope(q, m, &content.envelope, &c->filter)) {
        c->matched++;
        act(c, mail, &content.envelope);
    }
    content_close(&content);
}

/* The next message that may be meant; false: there is none. */
static bool next_mail(struct client *c, uint32_t *mail)
{
    const struct index *x = &c->control->queue->index;

    if (c->filter.id_count > 0) {
        while (c->cursor < c->filter.id_count) {
            *mail = index_find(x, c->filter.ids[c->cursor++]);
            if (*mail != POOL_NONE)
                return true;
        }
        return false;
    }
    *mail = (uint32_t)++c->cursor;
    return c->cursor < x->mails.end;
}

static void end_answer(struct client *c)
{
    buf_printf(&c->output, "{\"end\":true,\"matched\":%" PRIu64 "}\n", c->matched);
    forget_request(c);
}

static void act_on_site(struct client *c, struct site *s)
{
    struct queue *q = c->control->queue;

    c->matched++;
    if (c->verb == VERB_OPEN)
        backoff_force(q, s, view_of(c->who));
    else if (c->verb == VERB_CLOSE)
        backoff_release(q, s, view_of(c->who));
    else
        siterow_write(q, s, &c->output);
}

static void answer_some_sites(struct client *c)
{
    struct queue *q = c->control->queue;

    for (unsigned left = MESSAGES_PER_TURN; left > 0; left--) {
        struct site *s;

        if (buf_len(&c->output) > OUTPUT_MARK)
            return;
        if (++c->cursor >= q->index.sites.end) {
            end_answer(c);
            return;
        }
        s = pool_at(&q->index.sites, (uint32_t)c->cursor);
        if (s->self != POOL_NONE && (c->filter.name.len == 0 || siterow_is(s, c->filter.name)))
            act_on_site(c, s);
    }
}

static void on_history_pause(struct timer *t)
{
    struct client *c = container_of(t, struct client, pause);

    loop_defer(c->control->queue->loop, &c->step);
}

/* What is over, once what ended before the question is written. */
static void answer_past(struct client *c)
{
    struct queue *q = c->control->queue;
    enum search_step step = SEARCH_FOUND;
    struct arena arena;
    struct past p;

    c->past = true;
    if (!history_reached(q->history, c->history_mark)) {
        history_flush(q->history);
        c->pause.fire = on_history_pause;
        loop_start_timer(q->loop, &c->pause, HISTORY_PAUSE_MS);
        return;
    }
    if (c->search == NULL)
        c->search = search_new(c->filter.word);
    arena_init(&arena, LETTER_ARENA_MAX);
    while (step == SEARCH_FOUND && buf_len(&c->output) <= OUTPUT_MARK) {
        step = search_step(c->search, &arena, &p);
        if (step == SEARCH_FOUND) {
            row_write_past(&p, &c->output);
            c->matched++;
        }
    }
    arena_reset(&arena);
    if (step == SEARCH_OVER)
        end_answer(c);
}

static void answer_some(struct client *c)
{
    uint32_t mail;

    for (unsigned left = MESSAGES_PER_TURN; left > 0; left--) {
        if (buf_len(&c->output) > OUTPUT_MARK)
            return;
        if (!parcel_empty(&c->parcel)) {
            if (!parcel_pass(&c->parcel, &c->output)) {
                close_client(c); /* its length has been told already */
                return;
            }
            continue;
        }
        if (c->past || !next_mail(c, &mail)) {
            if (c->verb == VERB_TRACE)
                answer_past(c);
            else
                end_answer(c);
            return;
        }
        consider(c, mail);
    }
}

static void begin_answer(struct client *c, struct view line)
{
    const char *wrong;

    c->busy = true;
    c->past = false;
    c->cursor = c->matched = 0;
    c->request = memory_copy(line);
    if (c->output.capacity == 0)
        buf_new(&c->output, ROW_MAX);
    wrong = read_request(c);
    if (wrong != NULL) {
        buf_printf(&c->output, "{\"error\":\"%s\"}\n", wrong);
        forget_request(c);
    } else if (c->verb == VERB_STATUS) {
        row_write_status(c->control->queue, &c->output);
        c->matched = 1;
        end_answer(c);
    }
}

/* Answers a slice, or begins the next request, or sees that all is said. */
static void on_step(struct deferred *d)
{
    struct client *c = container_of(d, struct client, step);
    struct view input = buf_view(&c->input);
    size_t end = view_find(input, '\n');

    if (c->watch.fd < 0) {
        on_free(&c->free_later);
        return;
    }
    if (!c->busy && end < input.len) {
        begin_answer(c, view_sub(input, 0, end));
        buf_consume(&c->input, end + 1);
    }
    if (c->import != NULL)
        feed_import(c);
    else if (c->busy && buf_len(&c->output) <= OUTPUT_MARK && c->verb >= VERB_DESTINATIONS)
        answer_some_sites(c);
    else if (c->busy && buf_len(&c->output) <= OUTPUT_MARK)
        answer_some(c);
    if (c->watch.fd >= 0)
        flush(c);
    if (c->watch.fd < 0)
        return;
    if ((c->busy && c->import == NULL && !timer_running(&c->pause) &&
         buf_len(&c->output) <= OUTPUT_MARK) ||
        (!c->busy && view_has(buf_view(&c->input), '\n')))
        loop_defer(c->control->queue->loop, &c->step);
    else if (c->ended && !c->busy && buf_len(&c->output) == 0)
        close_client(c);
    if (c->watch.fd >= 0)
        set_watch(c);
}

static void hear(struct client *c)
{
    size_t room;
    char *tail = buf_tail(&c->input, &room);
    ssize_t n = room > 0 ? recv(c->watch.fd, tail, room, MSG_DONTWAIT) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        c->ended = true; /* or a line that is too long */
    else
        buf_extend(&c->input, (size_t)n);
    loop_defer(c->control->queue->loop, &c->step);
}

static void on_ready(struct watch *w, unsigned what)
{
    struct client *c = container_of(w, struct client, watch);

    if (what & WANT_WRITE)
        loop_defer(c->control->queue->loop, &c->step);
    if ((what & WANT_READ) && wants_input(c))
        hear(c);
}

/* ---- connections ---- */

static int add_client(struct control *control, int fd, bool may_change, uint64_t uid)
{
    struct client *c = memory_new(sizeof(*c));
    struct buf who = BUF_ON_ARRAY(c->who);
    int err;

    buf_printf(&who, "uid %" PRIu64 "%c", uid, '\0');
    c->control = control;
    c->may_change = may_change;
    c->watch = (struct watch){ .fd = fd, .ready = on_ready };
    c->step.run = on_step;
    c->free_later.run = on_free;
    buf_new(&c->input, REQUEST_MAX);
    err = loop_watch(control->queue->loop, &c->watch, WANT_READ);
    if (err < 0) {
        on_free(&c->free_later);
        return err;
    }
    list_append(&control->clients, &c->link);
    control->client_count++;
    return 0;
}

static void greet(struct control *control, int fd)
{
    struct ucred peer = { .uid = UINT32_MAX };
    socklen_t len = sizeof(peer);
    bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;

    if (control->client_count >= CLIENTS_MAX ||
        add_client(control, fd, known && (peer.uid == 0 || peer.uid == geteuid()), peer.uid) < 0)
        close(fd);
}

static void on_connection(struct watch *w, unsigned what)
{
    struct control *c = container_of(w, struct control, listener);
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    if (fd >= 0) {
        greet(c, fd);
        return;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
        return;
    loop_unwatch(c->queue->loop, w);
    loop_start_timer(c->queue->loop, &c->pause, ACCEPT_PAUSE_MS);
}

static void on_pause_over(struct timer *t)
{
    struct control *c = container_of(t, struct control, pause);
    /* Nobody shall be told of, or change, what is only half known. */
    int err = c->queue->restored ? loop_watch(c->queue->loop, &c->listener, WANT_READ) : -EAGAIN;

    if (err < 0)
        loop_start_timer(c->queue->loop, t, ACCEPT_PAUSE_MS);
}

void control_listen(struct control *c, int fd)
{
    if (c->listener.fd >= 0) {
        loop_unwatch(c->queue->loop, &c->listener);
        close(c->listener.fd);
    }
    c->listener = (struct watch){ .fd = fd, .ready = on_connection };
    c->pause.fire = on_pause_over;
    on_pause_over(&c->pause);
}

int control_serve(struct control *c, int fd)
{
    c->offline = true;
    return add_client(c, fd, false, geteuid());
}

void control_free(struct control **c)
{
    struct list *it;

    if (*c == NULL)
        return;
    while ((it = list_take_first(&(*c)->clients)) != NULL) {
        struct client *client = container_of(it, struct client, link);

        loop_unwatch((*c)->queue->loop, &client->watch);
        loop_stop_timer((*c)->queue->loop, &client->pause);
        close(client->watch.fd);
        on_free(&client->free_later);
    }
    loop_stop_timer((*c)->queue->loop, &(*c)->pause);
    if ((*c)->listener.fd >= 0) {
        loop_unwatch((*c)->queue->loop, &(*c)->listener);
        close((*c)->listener.fd);
    }
    free(*c);
    *c = NULL;
}
