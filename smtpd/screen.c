#include "smtpd/screen.h"

#include "io/clock.h"
#include "mail/body.h"
#include "smtpd/session.h"

#include <string.h>

static const struct rules *rules_of(const struct session *s)
{
    return s->rules->settings->rules;
}

static bool has_late(const struct rules *r)
{
    return r->at[RULE_AT_HEADER] || r->at[RULE_AT_END];
}

static bool is_header_act(enum rule_act act)
{
    return act == RULE_ADD_HEADER || act == RULE_REMOVE_HEADER || act == RULE_REPLACE_HEADER;
}

bool screen_needs_header(const struct rules *r)
{
    for (size_t i = 0; r != NULL && i < r->count; i++) {
        const struct rule *rule = &r->all[i];

        if (rule->match.header_count > 0 || rule->except.header_count > 0)
            return true;
        for (size_t j = 0; j < rule->action_count; j++) {
            if (is_header_act(rule->actions[j].act))
                return true;
        }
    }
    return false;
}

bool screen_asks_name(const struct session *s, enum rule_stage stage)
{
    const struct rules *r = rules_of(s);
    bool asks = false;

    for (unsigned i = 0; r != NULL && i <= stage; i++)
        asks = asks || r->by_name[i];
    return asks;
}

/* The sender's key lies in a room that lasts until the next call. */
static struct rule_facts gather(const struct session *s, struct view sender)
{
    static char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);

    return (struct rule_facts){
        .listener = s->rules->listener->name,
        .client = &s->client,
        .client_name = view_of(s->client_name),
        .name_failed = s->naming == NAME_FAILED,
        .login = view_of(s->login),
        .helo = view_make(s->helo, s->helo_len),
        .sender = rules_address(sender, &key),
        .tls = view_of(s->tls),
        .size = s->transaction.receiver.bytes,
        .week_minute = rules_of(s)->by_time ? clock_week_minute(s->now_ms) : 0,
    };
}

const struct rule *screen_session(const struct session *s, enum rule_stage stage,
                                  struct view sender)
{
    const struct rules *r = rules_of(s);
    const struct rule *rule;
    struct rule_facts f;

    if (r == NULL || !r->at[stage])
        return NULL;
    f = gather(s, sender);
    rule = rules_walk(r, &f, stage, NULL, NULL);
    if (rule == NULL || (rule->decision->act != RULE_REFUSE && rule->decision->act != RULE_DEFER))
        return NULL;
    return rule;
}

/* ---- recipients ---- */

/* Where the rule stands, or is to stand, among those that do something. */
static size_t find_applied(const struct screen *screen, const struct rule *rule, bool *found)
{
    size_t at = screen->applied_count;

    while (at > 0 && screen->applied[at - 1]->number > rule->number)
        at--;
    *found = at > 0 && screen->applied[at - 1] == rule;
    return at;
}

/* Keeps what does something, in the order of the rules, whatever recipient brings it here. */
static void apply(struct screen *screen, const struct rule *rule)
{
    bool found;
    size_t at = find_applied(screen, rule, &found);

    if (found || (rule->action_count == 1 && rule->decision != NULL))
        return;
    if (screen->applied_count == SCREEN_APPLIED_MAX) {
        screen->too_many = true;
        return;
    }
    memmove(screen->applied + at + 1, screen->applied + at,
            (screen->applied_count - at) * sizeof(*screen->applied));
    screen->applied[at] = rule;
    screen->applied_count++;
}

static void on_found(void *context, const struct rule *rule)
{
    struct screen_found *found = context;

    if (found->count < SCREEN_APPLIED_MAX)
        found->rules[found->count++] = rule;
    else
        found->too_many = true;
}

void screen_rcpt(const struct session *s, struct view recipient, struct screen_found *found)
{
    const struct rules *r = rules_of(s);
    struct rules_recipient_room room;
    struct rule_facts f;

    found->decides = NULL;
    found->count = 0;
    found->too_many = false;
    if (r == NULL || r->count == 0)
        return;
    f = gather(s, s->transaction.sender);
    rules_set_recipient(&f, s->rules->settings, recipient, &room);
    found->decides = rules_walk(r, &f, RULE_AT_RCPT, on_found, found);
}

const struct charge *screen_charge_rcpt(struct session *s, struct view recipient,
                                        const struct screen_found *found, bool *room)
{
    struct screen *screen = &s->transaction.screen;
    bool again;

    screen->charges.count = 0; /* of a recipient that was refused */
    *room = true;
    for (size_t i = 0; i < found->count && *room; i++) {
        (void)find_applied(screen, found->rules[i], &again);
        *room = charges_add(s, found->rules[i], again, recipient, NULL);
    }
    return *room ? charges_refusal(s) : NULL;
}

bool screen_sets_apart(const struct session *s)
{
    const struct rules *r = rules_of(s);

    return r != NULL && r->by_recipient && has_late(r);
}

/* Only now, when it is sure that it stays, the rules for it do something to the message. */
bool screen_keep_rcpt(struct session *s, struct view recipient, size_t first,
                      const struct screen_found *found)
{
    struct transaction *t = &s->transaction;
    const struct rules *r = rules_of(s);
    struct screened_rcpt *rcpts;

    if (r == NULL || r->count == 0)
        return true;
    for (size_t i = 0; i < found->count; i++)
        apply(&t->screen, found->rules[i]);
    t->screen.too_many = t->screen.too_many || found->too_many;
    if (found->decides != NULL && found->decides->decision->act == RULE_HOLD)
        t->screen.held = found->decides;
    if (found->decides != NULL && found->decides->decision->act == RULE_ACCEPT)
        t->screen.accepted = found->decides;
    if (!screen_sets_apart(s))
        return true;
    if (t->screen.rcpt_count == t->screen.rcpt_room) {
        size_t room = MAX(t->screen.rcpt_room * 2, 4);

        rcpts = arena_alloc(&t->arena, room * sizeof(*rcpts));
        if (rcpts == NULL)
            return false;
        if (t->screen.rcpt_count > 0)
            memcpy(rcpts, t->screen.rcpts, t->screen.rcpt_count * sizeof(*rcpts));
        t->screen.rcpts = rcpts;
        t->screen.rcpt_room = room;
    }
    rcpts = &t->screen.rcpts[t->screen.rcpt_count];
    *rcpts = (struct screened_rcpt){ .first = first, .count = t->to.count - first };
    if (!arena_copy(&t->arena, recipient, &rcpts->address))
        return false;
    t->screen.rcpt_count++;
    return true;
}

/* ---- messages ---- */

/* At this stage, for this recipient, or for all: NULL. */
struct walk {
    struct session *session;
    enum rule_stage stage;
    const struct screened_rcpt *rcpt;
};

/* Rules of earlier stages match again, but have been charged for. */
static void on_matched(void *context, const struct rule *rule)
{
    const struct walk *w = context;
    struct screen *screen = &w->session->transaction.screen;
    bool again;

    (void)find_applied(screen, rule, &again);
    if (rule->stage == w->stage &&
        !charges_add(w->session, rule, again, w->rcpt != NULL ? w->rcpt->address : VIEW_EMPTY,
                     w->rcpt != NULL ? &w->rcpt->discarded : NULL))
        screen->too_many = true;
    apply(screen, rule);
}

/* True: for whom this was asked, nothing is to be delivered. */
static bool take_decision(struct screen *screen, const struct rule *rule)
{
    if (rule == NULL)
        return false;
    switch (rule->decision->act) {
    case RULE_REFUSE:
    case RULE_DEFER:
        screen->refused = rule;
        return false;
    case RULE_HOLD:
        screen->held = rule;
        return false;
    case RULE_DISCARD:
        screen->discarded = rule;
        return true;
    case RULE_ACCEPT:
        screen->accepted = rule;
        return false;
    case RULE_TAG:
    case RULE_ADD_HEADER:
    case RULE_REMOVE_HEADER:
    case RULE_REPLACE_HEADER:
    case RULE_ROUTE:
    case RULE_LIMIT:
    case RULE_ACTS:
        break;
    }
    return false;
}

void screen_tell_discarded(const struct session *s, const struct rule *rule, struct view recipient)
{
    if (s->rules->discarded != NULL)
        s->rules->discarded(s, rule, recipient);
}

void screen_tell_dropped(const struct session *s)
{
    const struct screen *screen = &s->transaction.screen;

    for (size_t i = 0; i < screen->rcpt_count; i++) {
        const struct screened_rcpt *r = &screen->rcpts[i];

        if (r->discarded)
            screen_tell_discarded(s, r->discards, r->address);
    }
}

/* Takes the discarded ones out. */
static void drop_discarded(struct transaction *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->screen.rcpt_count; i++) {
        struct screened_rcpt *r = &t->screen.rcpts[i];
        size_t first = kept;

        for (size_t j = 0; j < r->count && !r->discarded; j++)
            t->to.all[kept++] = t->to.all[r->first + j];
        r->first = first;
        r->count = kept - first;
    }
    t->to.count = kept;
}

static void screen_each(struct session *s, enum rule_stage stage, struct rule_facts *f)
{
    struct transaction *t = &s->transaction;
    struct rules_recipient_room room;
    bool any = false;

    for (size_t i = 0; i < t->screen.rcpt_count; i++) {
        struct screened_rcpt *r = &t->screen.rcpts[i];
        struct walk w = { s, stage, r };

        if (r->discarded)
            continue;
        rules_set_recipient(f, s->rules->settings, r->address, &room);
        r->discards = rules_walk(rules_of(s), f, stage, on_matched, &w);
        r->discarded = take_decision(&t->screen, r->discards);
        any = any || r->discarded;
    }
    if (any)
        drop_discarded(t);
}

void screen_message(struct session *s, enum rule_stage stage, struct view header)
{
    struct transaction *t = &s->transaction;
    const struct rules *r = rules_of(s);
    static uint64_t headers;
    struct walk w = { s, stage, NULL };
    struct rule_facts f;

    if (r == NULL || !r->at[stage] || t->to.count == 0)
        return;
    f = gather(s, s->transaction.sender);
    f.header = header;
    f.header_id = ++headers;
    if (r->by_recipient)
        screen_each(s, stage, &f);
    else if (take_decision(&t->screen, rules_walk(r, &f, stage, on_matched, &w)))
        t->to.count = 0;
}

/* Into a list with commas, once. */
static void put_name(struct buf *names, struct view name)
{
    struct view rest = buf_view(names);

    while (rest.len > 0) {
        if (view_equal(view_take_until(&rest, ','), name))
            return;
    }
    if (buf_len(names) > 0)
        buf_put_byte(names, ',');
    buf_put(names, name);
}

bool screen_describe(struct session *s)
{
    struct transaction *t = &s->transaction;
    char room[SCREEN_APPLIED_MAX * 80];
    struct buf tags = BUF_ON_ARRAY(room);

    if (t->screen.surplus != NULL)
        t->hold = t->screen.surplus->reply;
    if (t->screen.held != NULL)
        t->hold = t->screen.held->decision->reply;
    for (size_t i = 0; i < t->screen.applied_count; i++) {
        const struct rule *rule = t->screen.applied[i];

        for (size_t j = 0; j < rule->action_count; j++) {
            const struct rule_action *a = &rule->actions[j];

            if (a->act == RULE_ROUTE && t->said.route.len == 0) /* the first one's choice */
                t->said.route = a->word;
            if (a->act == RULE_TAG)
                put_name(&tags, a->word);
        }
    }
    return !tags.overflowed && !t->screen.too_many &&
           (buf_len(&tags) == 0 || arena_copy(&t->arena, buf_view(&tags), &t->said.tags));
}

void screen_tell_applied(struct session *s, uint64_t message)
{
    const struct screen *screen = &s->transaction.screen;
    char room[4096];
    struct buf names = BUF_ON_ARRAY(room);

    for (size_t i = 0; i < screen->applied_count; i++)
        put_name(&names, view_of(screen->applied[i]->label));
    if (screen->held != NULL)
        put_name(&names, view_of(screen->held->label));
    if (screen->accepted != NULL)
        put_name(&names, view_of(screen->accepted->label));
    if (buf_len(&names) > 0 && s->rules->applied != NULL)
        s->rules->applied(s, message, buf_view(&names));
}

/* ---- the header ---- */

static bool put_field(const struct rule_action *a, struct buf *out)
{
    return buf_put(out, a->word) && buf_put(out, VIEW(": ")) && buf_put(out, a->text) &&
           buf_put(out, VIEW("\r\n"));
}

/* The last one of the rules that removes or replaces the field; NULL: it stays. */
static const struct rule_action *find_change(const struct screen *screen, struct view name)
{
    const struct rule_action *found = NULL;

    for (size_t i = 0; i < screen->applied_count; i++) {
        for (size_t j = 0; j < screen->applied[i]->action_count; j++) {
            const struct rule_action *a = &screen->applied[i]->actions[j];

            if ((a->act == RULE_REMOVE_HEADER || a->act == RULE_REPLACE_HEADER) &&
                view_equal_nocase(a->word, name))
                found = a;
        }
    }
    return found;
}

/* What is added stands on top, and so does what replaces something. */
static bool put_new(const struct screen *screen, struct buf *out)
{
    for (size_t i = 0; i < screen->applied_count; i++) {
        for (size_t j = 0; j < screen->applied[i]->action_count; j++) {
            const struct rule_action *a = &screen->applied[i]->actions[j];
            bool replaces = a->act == RULE_REPLACE_HEADER && find_change(screen, a->word) == a;

            if ((a->act == RULE_ADD_HEADER || replaces) && !put_field(a, out))
                return false;
        }
    }
    return true;
}

bool screen_write_header(const struct session *s, struct view header, struct buf *out)
{
    const struct screen *screen = &s->transaction.screen;
    struct header_field field;

    if (!put_new(screen, out))
        return false;
    while (header_next(&header, &field)) {
        if (find_change(screen, field.name) == NULL && !buf_put(out, field.whole))
            return false;
    }
    return true;
}

size_t screen_header_growth(const struct session *s)
{
    const struct screen *screen = &s->transaction.screen;
    size_t bytes = 0;

    for (size_t i = 0; i < screen->applied_count; i++) {
        for (size_t j = 0; j < screen->applied[i]->action_count; j++) {
            const struct rule_action *a = &screen->applied[i]->actions[j];

            bytes += a->word.len + a->text.len + 4;
        }
    }
    return bytes;
}
