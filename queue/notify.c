#include "queue/notify.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "ipc/expand.h"
#include "mail/body.h"
#include "mail/bounce.h"
#include "queue/content.h"
#include "queue/dispatch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GIVE_BACK_MS = 60 * 1000,     /* until what no notice could be made for is tried again */
    NOTICE_PAUSE_MS = 60 * 1000,  /* between delay notices when the spool takes none */
    ADDRESSEES_MAX = 50,          /* of one notice */
    OUTCOMES_ARENA_MAX = 8 << 20, /* the last outcomes of 1,000 recipients */
};

/* On its way into the spool. */
struct notice {
    struct store_commit commit;
    struct queue *queue;
    struct letter *letter;
    bool delay;
    uint32_t *units; /* that are given up with it */
    size_t unit_count;
    uint32_t *settles;
};

/* ---- making the notice ---- */

/* The header section, or the first part of a long one. `room` is for that of a big body. */
static struct view read_header(const struct content *c, char *room, size_t size)
{
    ssize_t n;

    if (c->big_fd < 0)
        return body_header(c->body);
    n = pread(c->big_fd, room, size, 0);
    return n <= 0 ? VIEW_EMPTY : body_header(view_make(room, (size_t)n));
}

/* Who the notice is for: the sender, or, if that is an alias here, those it leads to. */
struct addressees {
    struct expansion expansion;
    struct arena arena;
    struct envelope_rcpt rcpts[ADDRESSEES_MAX];
    size_t count;
};

static bool on_addressee(struct expansion *x, const struct address *a)
{
    struct addressees *to = container_of(x, struct addressees, expansion);
    char room[ADDRESS_MAX + 2];
    struct buf text = BUF_ON_ARRAY(room);

    if (to->count == ADDRESSEES_MAX || !address_print(a, &text) ||
        !arena_copy(&to->arena, buf_view(&text), &to->rcpts[to->count].address))
        return false;
    to->count++;
    return true;
}

/* Without patterns, for which this process has no library: where one may apply, the address stays
 * as it is. */
static void find_addressees(const struct settings *s, struct view sender, struct addressees *to)
{
    struct address a;

    *to = (struct addressees){ .expansion = { .settings = s,
                                              .has_mailbox = settings_may_have_mailbox,
                                              .add = on_addressee } };
    arena_init(&to->arena, ADDRESSEES_MAX * 2 * ADDRESS_MAX);
    if (address_parse(sender, true, &a) && expand_is_ours(s, &a) &&
        expand_rcpt(&to->expansion, &a) == EXPAND_DONE)
        return;
    to->rcpts[0].address = sender;
    to->count = 1;
}

static struct letter *wrap(const struct queue *q, struct view sender, struct view body)
{
    static char room[ADDRESSEES_MAX * (3 * ADDRESS_MAX + 16) + 256];
    struct buf text = BUF_ON_ARRAY(room);
    struct addressees to;
    struct envelope e = { .arrival_ms = clock_wall_ms(), .notice = true };
    struct letter *l = NULL;

    find_addressees(q->settings, sender, &to);
    e.rcpts = to.rcpts;
    e.rcpt_count = to.count;
    if (envelope_encode(&e, &text))
        l = letter_new(buf_view(&text), body, VIEW_EMPTY);
    if (l != NULL)
        l->body_crc = crc32c(0, body);
    arena_reset(&to.arena);
    return l;
}

static struct letter *write_letter(struct queue *q, const struct mail *m, const struct content *c,
                                   bool delay, const struct bounce_rcpt *rcpts, size_t count)
{
    char header[BOUNCE_HEADER_MAX], id[17];
    struct bounce b = {
        .delay = delay,
        .envelope = &c->envelope,
        .header = read_header(c, header, sizeof(header)),
        .rcpts = rcpts,
        .rcpt_count = count,
        .hostname = q->settings->hostname,
        .now_ms = clock_wall_ms(),
        .unique = m->id << 12 | (q->notices_made++ & 0xfff),
    };
    struct buf id_text = BUF_ON_ARRAY(id);
    struct letter *l = NULL;
    struct buf text;

    buf_printf(&id_text, "%016llx", (unsigned long long)m->id);
    b.message_id = buf_view(&id_text);
    buf_new(&text, bounce_room(&b));
    if (bounce_write(&b, &text))
        l = wrap(q, c->envelope.sender, buf_view(&text));
    buf_free(&text);
    return l;
}

static struct letter *make_letter(struct queue *q, const struct mail *m, const struct content *c,
                                  bool delay, const struct notify_rcpt *rcpts, size_t count)
{
    uint64_t expires_ms = queue_wall_ms(q, queue_expiry_ms(q, m));
    struct bounce_rcpt *list = memory_new_array(count, sizeof(*list));
    struct letter *l;

    for (size_t i = 0; i < count; i++)
        list[i] = (struct bounce_rcpt){
            .address = rcpts[i].address,
            .outcome = rcpts[i].outcome,
            .attempted_ms = rcpts[i].attempted_ms,
            .expires_ms = delay ? expires_ms : 0,
            .expired = rcpts[i].expired,
        };
    l = write_letter(q, m, c, delay, list, count);
    free(list);
    return l;
}

/* ---- what comes of it ---- */

static void give_back(struct queue *q, const uint32_t *units, size_t count)
{
    uint32_t due = queue_tick(q, queue_now_ms(q) + GIVE_BACK_MS);

    for (size_t i = 0; i < count; i++) {
        const struct unit *u = index_unit(&q->index, units[i]);

        const struct mail *m = index_mail(&q->index, u->mail);

        if ((m->flags & MAIL_DELETED) && !queue_in_trash(m))
            queue_remove_unit(q, units[i]);
        else if (m->flags & MAIL_HELD)
            index_park(&q->index, units[i]);
        else
            index_time(&q->index, units[i], due);
    }
    queue_arm_wheel(q);
}

static void free_notice(struct notice *n)
{
    letter_free(&n->letter);
    free(n->units);
    free(n->settles);
    free(n);
}

static void on_failed(struct notice *n, enum spool_trouble trouble)
{
    struct queue *q = n->queue;
    uint32_t mail = index_find(&q->index, n->commit.about);

    log_warn("notice_failed", LOG_ID("message", n->commit.about),
             LOG_U64("trouble", (uint64_t)trouble));
    if (n->delay && mail != POOL_NONE && (index_mail(&q->index, mail)->flags & MAIL_DELETED) == 0) {
        index_mail(&q->index, mail)->flags &= (uint8_t)~MAIL_NOTICED;
        q->notice_pause_ms = queue_now_ms(q) + NOTICE_PAUSE_MS;
        index_set_deadline_first(&q->index, mail, DEADLINE_NOTICE);
        queue_arm_deadlines(q);
    }
    give_back(q, n->units, n->unit_count);
    if (mail != POOL_NONE)
        queue_finish_if_done(q, mail);
}

static void on_durable(struct notice *n)
{
    struct queue *q = n->queue;
    uint32_t mail = index_find(&q->index, n->commit.about);

    log_info("notice_queued", LOG_ID("message", n->commit.about), LOG_ID("notice", n->commit.id),
             LOG_STRING("kind", n->delay ? "delay" : "failure"),
             LOG_VIEW("to", n->letter->envelope.rcpts[0].address));
    for (size_t i = 0; i < n->unit_count; i++)
        queue_remove_unit(q, n->units[i]);
    if (mail != POOL_NONE)
        queue_finish_if_done(q, mail);
    queue_take_in(q, &n->commit, &n->letter->envelope, n->letter);
    n->letter = NULL;
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct notice *n = container_of(c, struct notice, commit);

    n->queue->notices_pending--;
    if (trouble == SPOOL_FINE)
        on_durable(n);
    else
        on_failed(n, trouble);
    free_notice(n);
}

static void send_notice(struct queue *q, uint64_t about, struct letter *l, struct notice *n)
{
    n->queue = q;
    n->letter = l;
    n->commit.envelope = l->encoded;
    n->commit.body = l->body;
    n->commit.big_fd = -1;
    n->commit.body_bytes = l->body.len;
    n->commit.body_crc = l->body_crc;
    n->commit.about = about;
    n->commit.settles = n->settles;
    n->commit.done = on_done;
    q->notices_pending++;
    store_accept(q->store, &n->commit);
}

/* ---- failure ---- */

static void log_given_up(const struct queue *q, const struct mail *m, const struct notify_rcpt *r,
                         bool told)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    const struct unit *u = index_unit(&q->index, r->unit);
    const struct destination *d = index_destination(&q->index, u->destination);

    outcome_print(r->outcome, &words);
    log_info(told ? "bounced" : "failed", LOG_ID("message", m->id),
             LOG_VIEW("recipient", r->address), LOG_VIEW("destination", d->hop.name),
             LOG_VIEW(r->outcome->host.len > 0 ? "host" : NULL, r->outcome->host),
             LOG_U64(r->outcome->code > 0 ? "code" : NULL, r->outcome->code),
             LOG_VIEW("reason", buf_view(&words)), LOG_U64("attempts", u->attempts),
             LOG_STRING(r->expired ? "cause" : NULL, "expired"));
}

static void log_all(struct queue *q, uint32_t mail, const struct notify_rcpt *rcpts, size_t count,
                    bool told)
{
    for (size_t i = 0; i < count; i++)
        log_given_up(q, index_mail(&q->index, mail), &rcpts[i], told);
    if (told)
        q->totals.bounced += count;
    else
        q->totals.failed += count;
}

/* Nobody to tell: the end of these recipients is recorded, and that is all. */
static void record_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                           const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    char room[4096];

    log_all(q, mail, rcpts, rcpt_count, false);
    for (size_t i = 0; i < rcpt_count; i++) {
        struct buf text = BUF_ON_ARRAY(room);
        const struct store_outcome o = {
            .message = index_mail(&q->index, mail)->id,
            .rcpts = &rcpts[i].rcpt,
            .rcpt_count = 1,
            .state = STORE_FAILED,
            .attempts = index_unit(&q->index, rcpts[i].unit)->attempts,
            .at_ms = clock_wall_ms(),
            .text = outcome_encode(rcpts[i].outcome, &text) ? buf_view(&text) : VIEW_EMPTY,
        };

        store_settle(q->store, &o, NULL);
    }
    for (size_t i = 0; i < unit_count; i++)
        queue_remove_unit(q, units[i]);
    queue_finish_if_done(q, mail);
}

static void submit_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                           const struct notify_rcpt *rcpts, size_t rcpt_count, struct letter *l)
{
    struct notice *n = memory_new(sizeof(*n));

    n->units = memory_new_array(unit_count, sizeof(*units));
    memcpy(n->units, units, unit_count * sizeof(*units));
    n->unit_count = unit_count;
    n->settles = memory_new_array(rcpt_count, sizeof(*n->settles));
    for (size_t i = 0; i < rcpt_count; i++)
        n->settles[i] = rcpts[i].rcpt;
    n->commit.settle_count = rcpt_count;
    for (size_t i = 0; i < unit_count; i++)
        index_fail(&q->index, units[i]);
    log_all(q, mail, rcpts, rcpt_count, true);
    send_notice(q, index_mail(&q->index, mail)->id, l, n);
}

void notify_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                    const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct letter *l = NULL;
    struct content c;
    int err;

    if (m->flags & MAIL_NULL_SENDER) {
        record_failure(q, mail, units, unit_count, rcpts, rcpt_count);
        return;
    }
    err = content_open(q, m, true, &c);
    if (err == 0) {
        l = make_letter(q, m, &c, false, rcpts, rcpt_count);
        content_close(&c);
    }
    if (l != NULL) {
        submit_failure(q, mail, units, unit_count, rcpts, rcpt_count, l);
        return;
    }
    give_back(q, units, unit_count);
    if (err < 0)
        queue_set_aside(q, mail, err);
}

/* ---- expiry ---- */

static const struct outcome never_tried = {
    .class = OUTCOME_DEFERRED,
    .scope = SCOPE_DESTINATION,
    .enhanced = { 4, 4, 7 },
    .text = VIEW_INIT("no attempt could be made in time"),
};

/* Why the unit still waits: what it heard itself, or what others of its destination heard. */
static const struct outcome *read_reason(struct queue *q, const struct unit *u, struct arena *arena,
                                         uint64_t *attempted_ms)
{
    const struct site *s = index_destination(&q->index, u->destination)->site;
    struct outcome *o = arena_alloc(arena, sizeof(*o));
    struct store_outcome record;
    struct view cause;

    *attempted_ms = 0;
    if (o == NULL)
        return &never_tried;
    if (u->last_place != 0 && store_read_outcome(q->store, index_last(u), arena, &record) == 0 &&
        outcome_decode(record.text, arena, o)) {
        *attempted_ms = record.at_ms;
        return o;
    }
    if (s->cause.len > 0 && arena_copy(arena, s->cause, &cause) && outcome_decode(cause, arena, o))
        return o;
    return &never_tried;
}

/* The recipients of one unit, appended. */
static size_t list_rcpts(struct queue *q, uint32_t unit, const struct envelope *e, bool expired,
                         struct arena *arena, struct notify_rcpt *list)
{
    const struct unit *u = index_unit(&q->index, unit);
    unsigned total = index_mail(&q->index, u->mail)->rcpt_count;
    uint64_t attempted_ms;
    const struct outcome *o = read_reason(q, u, arena, &attempted_ms);
    size_t count = 0;

    rcpts_each (i, &u->rcpts, total)
        list[count++] =
            (struct notify_rcpt){ i, unit, e->rcpts[i].address, o, attempted_ms, expired };
    return count;
}

static bool waits(const struct queue *q, const struct unit *u)
{
    return u->state == UNIT_TIMED ||
           (u->state == UNIT_DUE && index_destination(&q->index, u->destination)->site->backed_off);
}

static void expire_units(struct queue *q, uint32_t mail, const struct envelope *e)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct notify_rcpt *rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    uint32_t *units = memory_new_array(m->rcpt_count, sizeof(*units));
    size_t unit_count = 0, rcpt_count = 0;
    struct arena arena;

    arena_init(&arena, OUTCOMES_ARENA_MAX);
    index_each_unit (u, &q->index, mail) {
        if (!waits(q, index_unit(&q->index, u)))
            continue;
        index_park(&q->index, u);
        units[unit_count++] = u;
        rcpt_count += list_rcpts(q, u, e, true, &arena, rcpts + rcpt_count);
    }
    q->totals.expired += rcpt_count;
    if (unit_count > 0) {
        log_info("expired", LOG_ID("message", m->id), LOG_U64("recipients", rcpt_count));
        notify_failure(q, mail, units, unit_count, rcpts, rcpt_count);
    }
    arena_reset(&arena);
    free(units);
    free(rcpts);
}

void notify_expiry(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct content c;
    int err;

    index_set_overdue(&q->index, mail, true);
    index_set_deadline(&q->index, mail, DEADLINE_NONE);
    err = content_open(q, m, false, &c);
    if (err < 0) {
        queue_set_aside(q, mail, err);
        return;
    }
    expire_units(q, mail, &c.envelope);
    content_close(&c);
}

/* ---- delay ---- */

void notify_delay(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);
    struct letter *l = NULL;
    struct notify_rcpt *rcpts;
    struct content c;
    struct arena arena;
    size_t count = 0;

    m->flags |= MAIL_NOTICED;
    index_set_deadline(&q->index, mail, DEADLINE_NOTICED);
    if (content_open(q, m, true, &c) < 0)
        return;
    rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    arena_init(&arena, OUTCOMES_ARENA_MAX);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state != UNIT_FAILING)
            count += list_rcpts(q, u, &c.envelope, false, &arena, rcpts + count);
    }
    if (count > 0)
        l = make_letter(q, m, &c, true, rcpts, count);
    content_close(&c);
    if (l != NULL) {
        struct notice *n = memory_new(sizeof(*n));

        n->delay = true;
        send_notice(q, m->id, l, n);
    }
    arena_reset(&arena);
    free(rcpts);
}
