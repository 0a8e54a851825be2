#include "queue/row.h"
#include "queue/row_parts.h"

#include "common/text.h"
#include "io/clock.h"
#include "mail/outcome.h"
#include "mail/trace.h"
#include "queue/attempts.h"
#include "queue/deadline.h"
#include "queue/siterow.h"
#include "queue/unread.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *const state_names[MAIL_STATES] = {
    [MAIL_READY] = "ready",     [MAIL_ACTIVE] = "active", [MAIL_DEFERRED] = "deferred",
    [MAIL_WAITING] = "waiting", [MAIL_IS_HELD] = "held",  [MAIL_IS_DELETED] = "deleted",
};

const char *row_state_name(enum mail_state s)
{
    return state_names[s];
}

/* ---- states ---- */

static const struct unread *unread_of(const struct queue *q, uint32_t unit)
{
    return unread_find(q, index_mail(&q->index, index_mail_of(&q->index, unit))->id);
}

static enum mail_state unit_state(const struct queue *q, uint32_t unit)
{
    const struct unit *u = index_unit(&q->index, unit);

    switch ((enum unit_state)u->state) {
    case UNIT_PARKED:
        return MAIL_IS_HELD;
    case UNIT_TIMED: /* offline, what was never tried has no other place to wait */
        return u->attempts == 0 && unread_of(q, unit) == NULL ? MAIL_READY : MAIL_DEFERRED;
    case UNIT_DUE:
        return index_destination(&q->index, u->destination)->site->backed_off ? MAIL_WAITING
                                                                              : MAIL_READY;
    case UNIT_RUNNING:
    case UNIT_FAILING:
    case UNIT_ARRIVED:
    case UNIT_STATES:
        break;
    }
    return MAIL_ACTIVE;
}

/* Of its units, the state in which most is happening. */
enum mail_state row_state(const struct queue *q, uint32_t mail)
{
    static const enum mail_state order[] = { MAIL_ACTIVE, MAIL_READY, MAIL_DEFERRED };
    const struct mail *m = index_mail(&q->index, mail);
    unsigned seen = 0;

    if (m->flags & MAIL_DELETED)
        return MAIL_IS_DELETED;
    if (m->flags & MAIL_HELD)
        return MAIL_IS_HELD;
    index_each_unit (u, &q->index, mail)
        seen |= 1u << unit_state(q, u);
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        if (seen & 1u << order[i])
            return order[i];
    }
    return MAIL_WAITING;
}

/* When the unit is tried next, by the wall clock; 0: not known, or now. */
static uint64_t next_at(const struct queue *q, uint32_t unit)
{
    const struct unit *u = index_unit(&q->index, unit);
    const struct site *s = index_destination(&q->index, u->destination)->site;

    if (u->state == UNIT_TIMED)
        return queue_wall_ms(q, queue_tick_ms(q, u->link.due));
    if (u->state == UNIT_DUE && s->backed_off && !s->forced)
        return queue_wall_ms(q, s->until_ms);
    return 0;
}

/* The first of its recipients; 0: not known, or now. */
static uint64_t first_next_at(const struct queue *q, uint32_t mail)
{
    uint64_t first_ms = 0;

    index_each_unit (u, &q->index, mail) {
        uint64_t at_ms = next_at(q, u);

        if (at_ms > 0 && (first_ms == 0 || at_ms < first_ms))
            first_ms = at_ms;
    }
    return first_ms;
}

/* ---- the last reply ---- */

/* Of one unit at a time, so that it is read once for all that is told of it. */
struct last {
    uint32_t unit; /* POOL_NONE: none yet */
    bool known;
    struct outcome outcome;
    uint64_t at_ms, duration_ms;
    struct view past; /* attempts before it */
    struct arena arena;
};

static void forget_last(struct last *last)
{
    if (last->unit != POOL_NONE)
        arena_reset(&last->arena);
    last->unit = POOL_NONE;
}

static bool read_last(struct queue *q, uint32_t unit, struct last *last)
{
    const struct unit *u = index_unit(&q->index, unit);
    struct store_outcome record;
    struct attempt a;

    if (last->unit == unit)
        return last->known;
    forget_last(last);
    last->unit = unit;
    arena_init(&last->arena, ATTEMPTS_ARENA_MAX);
    last->known = u->last_place != 0 &&
                  store_read_outcome(q->store, index_last(u), &last->arena, &record) == 0 &&
                  attempts_take(&record.text, &last->arena, &a);
    if (!last->known)
        return false;
    last->outcome = a.outcome;
    last->duration_ms = a.duration_ms;
    last->past = record.text;
    last->at_ms = record.at_ms;
    return true;
}

void row_put_attempt(struct buf *out, const struct outcome *o, uint64_t at_ms, uint64_t duration_ms)
{
    char room[16];
    struct buf enhanced = BUF_ON_ARRAY(room);

    put_time(out, "at", at_ms);
    if (duration_ms > 0)
        put_number(out, "duration_ms", duration_ms);
    put_view(out, "class", view_of(outcome_class_name(o->class)));
    put_some(out, "host", o->host);
    if (o->code > 0)
        put_number(out, "code", o->code);
    enhanced_print(o->enhanced, &enhanced);
    put_some(out, "enhanced", buf_view(&enhanced));
    put_some(out, "text", o->text);
    put_some(out, "stage", o->doing);
    put_some(out, "tls", o->tls);
    buf_put_byte(out, '}');
}

static void put_last(struct buf *out, const struct last *last)
{
    begin_object(out, "last");
    row_put_attempt(out, &last->outcome, last->at_ms, last->duration_ms);
}

/* The attempts before the last, the newest first. */
static void put_past(struct buf *out, struct last *last)
{
    struct view text = last->past;
    struct attempt a;

    if (text.len == 0)
        return;
    put_key(out, "past");
    buf_put_byte(out, '[');
    while (buf_space(out) > 2 * RCPT_ROOM && attempts_take(&text, &last->arena, &a)) {
        begin_element(out);
        row_put_attempt(out, &a.outcome, a.at_ms, a.duration_ms);
    }
    buf_put_byte(out, ']');
}

/* Why the unit still waits, in one line. */
static void print_reason(struct queue *q, uint32_t unit, struct last *last, struct buf *words)
{
    const struct unit *u = index_unit(&q->index, unit);
    const struct mail *m = index_mail(&q->index, index_mail_of(&q->index, unit));
    const struct site *s = index_destination(&q->index, u->destination)->site;
    const struct unread *unread = unread_of(q, unit);

    if (m->flags & MAIL_DAMAGED) {
        buf_put(words, VIEW("held: it is damaged in the spool"));
        return;
    }
    if (m->flags & MAIL_DELETED) {
        buf_put(words, VIEW("deleted by an administrator"));
        return;
    }
    if (m->flags & MAIL_HELD) {
        buf_put(words, VIEW("held by an administrator"));
        return;
    }
    if (unread != NULL) {
        buf_printf(words, "it cannot be read from the spool: %s", strerror(unread->error));
        return;
    }
    if (s->backed_off && siterow_print_cause(s, words))
        return;
    if (read_last(q, unit, last))
        outcome_print(&last->outcome, words);
    else
        buf_put(words, unit_state(q, unit) == MAIL_ACTIVE ? VIEW("the first attempt is being made")
                                                          : VIEW("waits for its first attempt"));
}

/* ---- recipients ---- */

/* By the settings in force, which may not have reached the unit's destination yet. */
static void put_way(const struct queue *q, const struct envelope *e, struct view rcpt,
                    struct buf *out)
{
    static char room[SETTINGS_WAY_MAX];
    char name_room[2 * ADDRESS_DOMAIN_MAX];
    struct buf way = BUF_ON_ARRAY(room), name = BUF_ON_ARRAY(name_room);
    struct address a;
    struct hop hop;

    if (q->settings == NULL || !address_parse(rcpt, true, &a) ||
        !settings_hop(q->settings, e, &a, &name, &hop))
        return;
    settings_print_way(q->settings, &hop, &way);
    put_view(out, "way", buf_view(&way));
}

static void put_rcpt(struct queue *q, uint32_t unit, const struct envelope *e, struct view address,
                     struct last *last, bool whole, struct buf *out)
{
    const struct unit *u = index_unit(&q->index, unit);

    begin_element(out);
    put_view(out, "addr", address);
    put_view(out, "state", view_of(state_names[unit_state(q, unit)]));
    put_view(out, "destination", index_destination(&q->index, u->destination)->hop.name);
    if (whole)
        put_way(q, e, address, out);
    put_number(out, "attempts", u->attempts);
    put_time(out, "next_at", next_at(q, unit));
    if (last != NULL)
        put_last(out, last);
    if (last != NULL && whole)
        put_past(out, last);
    buf_put_byte(out, '}');
}

static unsigned put_unit(struct queue *q, uint32_t unit, const struct envelope *e, bool whole,
                         struct last *last, struct buf *out)
{
    unsigned left_out = 0;
    bool tried;

    if (index_unit(&q->index, unit)->state == UNIT_ARRIVED)
        return 0; /* they are done */
    tried = read_last(q, unit, last);
    rcpts_each (i, index_rcpts(&q->index, unit), (unsigned)e->rcpt_count) {
        if (buf_space(out) < RCPT_ROOM)
            left_out++;
        else
            put_rcpt(q, unit, e, e->rcpts[i].address, tried ? last : NULL, whole, out);
    }
    return left_out;
}

static unsigned put_done(const struct queue *q, uint32_t mail, const struct envelope *e,
                         struct buf *out)
{
    unsigned left_out = 0;

    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (index_is_open(&q->index, mail, i))
            continue;
        if (buf_space(out) < RCPT_ROOM) {
            left_out++;
            continue;
        }
        begin_element(out);
        put_view(out, "addr", e->rcpts[i].address);
        put_view(out, "state", VIEW("done"));
        buf_put_byte(out, '}');
    }
    return left_out;
}

/* ---- messages ---- */

void row_put_facts(const struct envelope *e, struct buf *out)
{
    put_some(out, "listener", e->listener);
    put_some(out, "client", e->client);
    put_some(out, "client_name", e->client_name);
    put_some(out, "helo", e->helo);
    put_some(out, "protocol", e->protocol);
    put_some(out, "tls", e->tls);
    put_some(out, "session", e->session);
    put_some(out, "login", e->login);
    put_some(out, "tags", e->tags);
    put_some(out, "route", e->route);
    put_some(out, "message_id", e->message_id);
    put_some(out, "hold", e->hold);
    put_bool(out, "notice", e->notice);
    put_bool(out, "8bit", e->body_8bit);
    if (e->require_tls)
        put_bool(out, "requiretls", true);
}

static void put_head(const struct queue *q, uint32_t mail, const struct envelope *e,
                     struct buf *out)
{
    const struct mail *m = index_mail(&q->index, mail);
    uint64_t wall_ms = clock_wall_ms();

    buf_printf(out, "{\"v\":1,\"id\":\"%016" PRIx64 "\"", m->id);
    put_view(out, "state", view_of(state_names[row_state(q, mail)]));
    put_time(out, "arrived", e->arrival_ms);
    put_number(out, "age_s", wall_ms > e->arrival_ms ? (wall_ms - e->arrival_ms) / 1000 : 0);
    put_number(out, "size", m->body_bytes);
    put_view(out, "sender", e->sender);
}

/* It was accepted only to be held, and says why. */
static bool is_held_for_cause(const struct mail *m, const struct envelope *e)
{
    return (m->flags & MAIL_HELD) != 0 && (m->flags & (MAIL_DAMAGED | MAIL_DELETED)) == 0 &&
           e->hold.len > 0;
}

/* What holds for the message as a whole, from its units: the most attempts, the first of the next
 * ones, a reason. */
static void put_summary(struct queue *q, uint32_t mail, const struct envelope *e, struct last *last,
                        struct buf *out)
{
    const struct mail *m = index_mail(&q->index, mail);
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    unsigned attempts = 0;

    if (is_held_for_cause(m, e))
        buf_printf(&words, "held: %.*s; tern queue release sends it", VIEW_ARG(e->hold));
    index_each_unit (u, &q->index, mail) {
        attempts = MAX(attempts, index_unit(&q->index, u)->attempts);
        if (buf_len(&words) == 0)
            print_reason(q, u, last, &words);
    }
    put_number(out, "attempts", attempts);
    put_time(out, "next_at", first_next_at(q, mail));
    if (q->settings != NULL && (m->flags & MAIL_HELD) == 0)
        put_time(out, "expires_at", queue_wall_ms(q, deadline_expiry_ms(q, m)));
    put_view(out, "reason", buf_view(&words));
}

void row_write(struct queue *q, uint32_t mail, const struct envelope *e, bool whole,
               struct buf *out)
{
    struct last last = { .unit = POOL_NONE };
    unsigned left_out = 0;

    put_head(q, mail, e, out);
    put_summary(q, mail, e, &last, out);
    if (whole)
        row_put_facts(e, out);
    put_key(out, "rcpts");
    buf_put_byte(out, '[');
    index_each_unit (u, &q->index, mail)
        left_out += put_unit(q, u, e, whole, &last, out);
    forget_last(&last);
    if (whole)
        left_out += put_done(q, mail, e, out);
    buf_put_byte(out, ']');
    if (left_out > 0)
        put_number(out, "rcpts_left_out", left_out);
    buf_put(out, VIEW("}\n"));
}

void row_write_unread(const struct queue *q, uint32_t mail, int err, struct buf *out)
{
    const struct mail *m = index_mail(&q->index, mail);
    char room[256];
    struct buf words = BUF_ON_ARRAY(room);

    buf_put(&words, VIEW("cannot be read from the spool"));
    if (err != -EBADMSG)
        buf_printf(&words, ": %s", strerror(-err));
    buf_printf(out, "{\"v\":1,\"id\":\"%016" PRIx64 "\"", m->id);
    put_view(out, "state", view_of(state_names[row_state(q, mail)]));
    put_number(out, "size", m->body_bytes);
    put_time(out, "next_at", first_next_at(q, mail));
    put_view(out, "reason", buf_view(&words));
    buf_put(out, VIEW(",\"rcpts\":[]}\n"));
}
