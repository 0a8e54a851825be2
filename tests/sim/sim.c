/* Days of mail in seconds: the real queue above a store in memory, with a worker that plays many
 * mail hosts in virtual time: good, greylisting, down now and then, dead, narrow, tarpits. What the
 * scheduler promises is checked while it runs:
 *
 *   bounded     no site has more jobs than its limit, no dead site more than its probes, no rate is
 *               exceeded
 *   one site    all domains of a site are in one worker
 *   fair        a single message does not wait for a bulk mailing to the same hosts, which has
 *               another sender, another login, or less priority
 *   apart       nobody waits because other hosts are slow
 *   no neglect  every message is delivered where that can be done, or given up, and tried again
 *               until then
 *   on time     and that neither before its lifetime nor long after it
 *
 * The argument is the seed of the traffic and the weather. */
#include "common/crc32c.h"
#include "common/heap.h"
#include "common/memory.h"
#include "io/clock.h"
#include "ipc/peer.h"
#include "mail/outcome.h"
#include "queue/dispatch.h"
#include "queue/intake.h"
#include "queue/queue.h"
#include "tests/unit/config_text.h"
#include "tests/unit/queue/memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    SITES = 3000,
    DOMAINS = 6000, /* every third is at the provider, which is site 0 */
    SENDERS = 20,
    LETTERS = 40000,
    BULK = 10000,     /* of them: one mailing to the provider's domains */
    STORM = 4000,     /* of them: to tarpits and limited hosts, in the first second */
    RESETS = 60,      /* of them: single messages while it goes on */
    SPAN = 72 * HOUR, /* in which they come */
    LIFETIME = 48 * HOUR,
    CONCURRENCY = 10,
    WORKERS = 3,
    CREDITS = 400,          /* of each: more than there are tarpits */
    NARROW_CONNECTIONS = 6, /* jobs that a narrow site bears */
    GREY = 5 * MINUTE,
    TARPIT = 10 * MINUTE,
    RATE = 10,               /* messages a minute to a limited site */
    PROBES_MOST = 80,        /* of a dead site, all together */
    LATE_MOST = 15 * MINUTE, /* to give a message up, while an attempt may be running */
    OVERTAKEN_MOST = 4,      /* how many of a mailing go before a single message */
    TRIES_LEAST = 4,         /* of a site that nothing gets through to, in a lifetime */
};

enum manner { GOOD, GREYLISTING, OUTAGES, DEAD, NARROW, LIMITED, TARPITS, MANNERS };

struct host {
    enum manner manner;
    unsigned running, started;
    struct peer *worker;       /* that has it */
    uint64_t recent[RATE + 1]; /* when the last jobs started */
};

struct post {
    uint64_t id, accepted_ms, tried_ms, delivered_ms;
    unsigned host;
    bool reset;
    unsigned started_before; /* jobs to its host, when it was accepted */
};

enum happening { ARRIVAL, RESULT, STILL_THERE, GONE };

struct event {
    struct heap_entry entry; /* by time */
    enum happening what;
    struct post *letter; /* NULL: a notice */
    struct peer *worker;
    unsigned host;
    uint64_t job;
    struct outcome outcome;
};

static struct {
    struct loop loop;
    struct queue queue;
    struct settings settings;
    struct peer smtpd, workers[WORKERS];
    struct heap events;
    struct host hosts[SITES];
    struct post letters[LETTERS];
    struct post *by_transaction[LETTERS + 1];
    struct post **by_id; /* id >> 20 */
    unsigned by_id_room;
    uint64_t random;
    bool active; /* something was said in this turn */
    unsigned delivered, given_up, jobs, most_overtaken;
    uint64_t longest_delay_ms;
} sim;

static void fail(const char *promise, const struct post *l, unsigned host, uint64_t number)
{
    fprintf(stderr, "at %.1f h: %s: letter %zu, host %u (manner %u), %llu\n",
            (double)(queue_now_ms(&sim.queue) - sim.queue.base_ms) / HOUR, promise,
            l == NULL ? SIZE_MAX : (size_t)(l - sim.letters), host, sim.hosts[host].manner,
            (unsigned long long)number);
    exit(EXIT_FAILURE);
}

/* ---- chance ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned chance(unsigned below)
{
    sim.random += 0x9e3779b97f4a7c15;
    return (unsigned)(mix(sim.random) % below);
}

/* A quarter of the hours, each host its own. */
static bool is_down(unsigned host)
{
    return mix(sim.loop.now_ms / HOUR * 1000 + host) % 4 == 0;
}

/* ---- events ---- */

static struct event *add_event(uint64_t after_ms, enum happening what, struct post *l)
{
    struct event *e = memory_new(sizeof(*e));

    e->what = what;
    e->letter = l;
    heap_add(&sim.events, &e->entry, sim.loop.now_ms + after_ms);
    return e;
}

/* ---- the hosts ---- */

static struct outcome make_outcome(enum outcome_class class, enum outcome_scope scope,
                                   const char *text)
{
    static const uint8_t classes[] = { 2, 4, 5 };

    return (struct outcome){
        .class = class, .scope = scope, .enhanced = { classes[class], 0, 0 }, .text = view_of(text)
    };
}

/* The host has its trouble at the final dot, and not at the connection. */
static bool is_late(unsigned host)
{
    return host / MANNERS % 2 == 1;
}

/* Connections are refused, or lost after the dot; or there are too many. */
static struct outcome trouble_of(unsigned host)
{
    struct outcome o = make_outcome(OUTCOME_DEFERRED, SCOPE_DESTINATION, "refused");

    if (is_late(host)) {
        o.scope = SCOPE_MESSAGE;
        o.enhanced = (struct enhanced){ 4, 4, 2 };
        o.host = VIEW("mx.test[192.0.2.1]:25");
        o.code = sim.hosts[host].manner == NARROW ? 421 : 0;
    }
    return o;
}

/* What the host does with a job, and when. */
static void play(unsigned host, struct event *e, uint64_t *after_ms)
{
    const struct host *h = &sim.hosts[host];
    const struct post *l = e->letter;
    struct outcome fault = trouble_of(host);

    *after_ms = 20 + chance(200);
    e->outcome = make_outcome(OUTCOME_DELIVERED, SCOPE_RCPT, "taken");
    if (h->manner == DEAD || (h->manner == OUTAGES && is_down(host)) ||
        (h->manner == NARROW && h->running > NARROW_CONNECTIONS)) {
        e->outcome = fault;
    } else if (h->manner == TARPITS) {
        *after_ms = TARPIT;
        e->outcome = fault;
    } else if (h->manner == GREYLISTING && l != NULL && sim.loop.now_ms < l->tried_ms + GREY) {
        e->outcome = make_outcome(OUTCOME_DEFERRED, SCOPE_RCPT, "greylisted");
        e->outcome.code = 450;
    }
}

static unsigned host_of(struct view domain)
{
    uint64_t number;

    if (!view_to_u64(view_sub(domain, 1, view_find(domain, '.') - 1), DOMAINS, &number))
        return 1; /* the senders': good */
    return number % 3 == 0 ? 0 : 1 + (unsigned)(number % (SITES - 1));
}

/* ---- the promises ---- */

static void check_start(unsigned host, struct post *l, struct peer *worker)
{
    struct host *h = &sim.hosts[host];
    uint64_t *recent = h->recent;

    if (h->running > 2 * CONCURRENCY)
        fail("bounded", l, host, h->running);
    if (h->running > 1 && h->worker != worker)
        fail("one site", l, host, h->running);
    h->worker = worker;
    if (h->manner == DEAD && h->started > PROBES_MOST)
        fail("bounded: a dead host", l, host, h->started);
    memmove(recent, recent + 1, RATE * sizeof(*recent));
    recent[RATE] = sim.loop.now_ms;
    if (h->manner == LIMITED && recent[0] > 0 && recent[RATE] - recent[0] < MINUTE - 10)
        fail("bounded: a rate", l, host, recent[RATE] - recent[0]);
    if (l == NULL || l->tried_ms > 0)
        return;
    l->tried_ms = sim.loop.now_ms;
    if (l->reset) {
        unsigned overtaken = h->started - 1 - l->started_before;

        sim.most_overtaken = MAX(sim.most_overtaken, overtaken);
        if (overtaken > OVERTAKEN_MOST)
            fail("fair", l, host, overtaken);
    } else if (h->manner == GOOD && host > 0) {
        uint64_t delay_ms = l->tried_ms - l->accepted_ms;

        sim.longest_delay_ms = MAX(sim.longest_delay_ms, delay_ms);
        if (delay_ms > 5 * SECOND)
            fail("apart", l, host, delay_ms);
    }
}

static void check_end(struct post *l, bool over)
{
    bool there = index_find(&sim.queue.index, l->id) != POOL_NONE;

    if (l->delivered_ms > 0)
        return;
    if (!over && !there)
        fail("on time: too early", l, l->host, 0);
    if (over && there)
        fail("on time: too late", l, l->host, 0);
    if (over) {
        sim.given_up++;
        if (sim.hosts[l->host].started < l->started_before + TRIES_LEAST)
            fail("no neglect: hardly tried", l, l->host, sim.hosts[l->host].started);
        if (sim.hosts[l->host].manner != DEAD && sim.hosts[l->host].manner != TARPITS)
            fail("no neglect", l, l->host, 0);
    }
}

/* ---- the worker ---- */

static bool answer_mx(struct peer *worker, struct view fields)
{
    struct message_mx_ask ask;
    struct message_mx_answer m;
    char room[32];
    struct buf hosts = BUF_ON_ARRAY(room);

    if (!message_mx_ask_decode(fields, &ask))
        return false;
    buf_printf(&hosts, "mx.s%u.test", host_of(ask.domain));
    m = (struct message_mx_answer){ ask.question, buf_view(&hosts), 0 };
    peer_send_mx_answer(worker, &m, -1);
    return true;
}

static bool take_job(struct peer *worker, struct view fields)
{
    struct message_job_start m;
    struct post *l = NULL;
    struct event *e;
    uint64_t after_ms;
    unsigned host;

    if (!message_job_start_decode(fields, &m))
        return false;
    host = host_of(m.hop_name);
    if (m.message >> 20 < sim.by_id_room)
        l = sim.by_id[m.message >> 20];
    sim.jobs++;
    sim.hosts[host].running++;
    sim.hosts[host].started++;
    check_start(host, l, worker);
    e = add_event(0, RESULT, l);
    play(host, e, &after_ms);
    heap_remove(&sim.events, &e->entry);
    heap_add(&sim.events, &e->entry, sim.loop.now_ms + after_ms);
    e->host = host;
    e->job = m.job;
    e->worker = worker;
    return true;
}

static bool worker_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    (void)fd;
    sim.active = true;
    if (type == MESSAGE_MX_ASK)
        return answer_mx(p, fields);
    return type != MESSAGE_JOB_START || take_job(p, fields);
}

static void end_job(const struct event *e)
{
    struct message_rcpt_result m = { .job = e->job, .rcpt = JOB_ALL_RCPTS };
    const struct message_job_end end = { e->job };
    char room[1024];
    struct buf encoded = BUF_ON_ARRAY(room);

    sim.hosts[e->host].running--;
    if (e->outcome.class == OUTCOME_DELIVERED && e->letter != NULL) {
        e->letter->delivered_ms = sim.loop.now_ms;
        sim.delivered++;
    }
    if (!outcome_encode(&e->outcome, &encoded))
        abort();
    m.outcome = buf_view(&encoded);
    peer_send_rcpt_result(e->worker, &m, -1);
    peer_send_job_end(e->worker, &end, -1);
}

static void on_gone(struct peer *p)
{
    (void)p;
    fputs("the queue has closed a channel\n", stderr);
    exit(EXIT_FAILURE);
}

/* ---- smtpd ---- */

static void note_id(uint64_t id, struct post *l)
{
    unsigned at = (unsigned)(id >> 20);

    while (at >= sim.by_id_room) {
        sim.by_id = memory_grow(sim.by_id, sim.by_id_room + 4096, sizeof(*sim.by_id));
        memset(sim.by_id + sim.by_id_room, 0, 4096 * sizeof(*sim.by_id));
        sim.by_id_room += 4096;
    }
    sim.by_id[at] = l;
}

static bool smtpd_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_spool_committed m;
    struct post *l;

    (void)p;
    (void)fd;
    sim.active = true;
    if (type != MESSAGE_SPOOL_COMMITTED)
        return type == MESSAGE_SPOOL_STATE;
    if (!message_spool_committed_decode(fields, &m))
        return false;
    l = sim.by_transaction[m.transaction];
    l->id = m.message;
    note_id(l->id, l);
    add_event(LIFETIME - 10 * SECOND, STILL_THERE, l);
    add_event(LIFETIME + LATE_MOST, GONE, l);
    return true;
}

static unsigned choose_domain(enum manner wanted)
{
    for (;;) {
        unsigned domain = chance(DOMAINS);

        if (domain % 3 > 0 && sim.hosts[1 + domain % (SITES - 1)].manner == wanted)
            return domain;
    }
}

static void accept_letter(struct post *l)
{
    static const struct view body = VIEW_INIT("Subject: hello\r\n\r\nhello\r\n");
    size_t number = (size_t)(l - sim.letters);
    unsigned domain = chance(DOMAINS);
    char from[64], to[64], room[512];
    struct buf sender = BUF_ON_ARRAY(from), rcpt = BUF_ON_ARRAY(to), text = BUF_ON_ARRAY(room);
    struct envelope_rcpt list[1] = { 0 };
    struct envelope e = { .rcpts = list, .rcpt_count = 1, .arrival_ms = clock_wall_ms() };
    struct message_spool_commit m = { .transaction = number + 1 };

    if (number < BULK + RESETS)
        domain -= domain % 3;
    else if (number < BULK + RESETS + STORM)
        domain = choose_domain(number % 2 == 0 ? TARPITS : LIMITED);
    buf_printf(&rcpt, "x@d%u.test", domain);
    if (number < BULK) {
        buf_put(&sender, VIEW("bulk@here.test"));
        e.login = VIEW("crm");
    } else if (number < BULK + RESETS) {
        buf_put(&sender, VIEW("bulk@here.test"));
        e.login = number % 3 == 0 ? VIEW("crm") : number % 3 == 1 ? VIEW("portal") : VIEW_EMPTY;
        e.priority = number % 3 == 0 ? 4 : 0;
    } else {
        buf_printf(&sender, "u%u@here.test", chance(SENDERS));
    }
    list[0].address = buf_view(&rcpt);
    e.sender = buf_view(&sender);
    l->host = host_of(view_from(list[0].address, 2));
    l->reset = number >= BULK && number < BULK + RESETS;
    l->accepted_ms = sim.loop.now_ms;
    l->started_before = sim.hosts[l->host].started;
    if (!envelope_encode(&e, &text))
        abort();
    m.envelope = buf_view(&text);
    m.body_bytes = body.len;
    m.body_crc = crc32c(0, body);
    m.body = body;
    sim.by_transaction[m.transaction] = l;
    peer_send_spool_commit(&sim.smtpd, &m, -1);
}

/* ---- time ---- */

static void settle(void)
{
    for (unsigned quiet = 0; quiet < 3; quiet++) {
        sim.active = false;
        if (loop_turn(&sim.loop, 0) < 0)
            abort();
        if (sim.active)
            quiet = 0;
    }
}

static void happen(struct event *e)
{
    switch (e->what) {
    case ARRIVAL:
        accept_letter(e->letter);
        break;
    case RESULT:
        end_job(e);
        break;
    case STILL_THERE:
        check_end(e->letter, false);
        break;
    case GONE:
        check_end(e->letter, true);
        break;
    }
}

static void run(void)
{
    struct heap_entry *first;

    while ((first = heap_first(&sim.events)) != NULL) {
        const struct heap_entry *timer = heap_first(&sim.loop.timers);
        uint64_t next = timer == NULL ? first->key : MIN(timer->key, first->key);

        if (next > sim.loop.now_ms)
            clock_advance(next - sim.loop.now_ms);
        settle();
        while ((first = heap_first(&sim.events)) != NULL && first->key <= sim.loop.now_ms) {
            struct event *e = container_of(first, struct event, entry);

            heap_remove(&sim.events, first);
            happen(e);
            free(e);
        }
        settle();
    }
}

/* ---- the world ---- */

static void open_peers(void)
{
    static const struct message_ready_for ready = { CREDITS };
    int fds[2];

    sim.smtpd.heard = smtpd_heard;
    sim.smtpd.gone = on_gone;
    if (channel_pair(fds) < 0 || peer_open(&sim.smtpd, &sim.loop, SMTPD, QUEUE, 0, fds[1]) < 0)
        abort();
    intake_add_peer(sim.queue.intake, 0, fds[0]);
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct peer *w = &sim.workers[i];

        w->heard = worker_heard;
        w->gone = on_gone;
        if (channel_pair(fds) < 0 || peer_open(w, &sim.loop, DELIVERY, QUEUE, i, fds[1]) < 0)
            abort();
        dispatch_add_worker(sim.queue.dispatch, DELIVERY, i, fds[0]);
        peer_send_ready_for(w, &ready, -1);
    }
}

static struct config *read_settings(void)
{
    static char text[65536], room[131072];
    const char *files[] = { "sim.yaml", text, NULL };
    struct buf all = BUF_ON_ARRAY(text);
    struct config *c;

    buf_printf(&all,
               "hostname: here.test\n"
               "log: {level: error}\n"
               "limits: {connections: %d}\n"
               "retry: {first: 5m, longest: 4h, lifetime: 2d, notice: 0s}\n"
               "workers: {delivery: %d}\n"
               "delivery: {concurrency: %d}\n"
               "destinations:\n  - message-rate: %d/1m\n    host:\n",
               LETTERS, WORKERS, CONCURRENCY, RATE);
    for (unsigned i = 2; i < SITES; i++) {
        if (i % MANNERS == LIMITED)
            buf_printf(&all, "      - mx.s%u.test\n", i);
    }
    buf_put_byte(&all, '\0');
    c = config_from(room, sizeof(room), files);
    settings_read(&sim.settings, c);
    if (config_error_count(c) > 0) {
        fprintf(stderr, "%.*s", VIEW_ARG(config_errors(c)));
        exit(EXIT_FAILURE);
    }
    return c;
}

/* The storm begins, the mailing comes at once in the second hour, the single messages in the half
 * minute after. */
static void plan(void)
{
    for (unsigned i = 0; i < LETTERS; i++) {
        uint64_t at_ms = chance(SPAN);

        if (i < BULK)
            at_ms = HOUR;
        else if (i < BULK + RESETS)
            at_ms = HOUR + chance(20 * SECOND);
        else if (i < BULK + RESETS + STORM)
            at_ms = 0;
        add_event(at_ms, ARRIVAL, &sim.letters[i]);
    }
    for (unsigned i = 2; i < SITES; i++)
        sim.hosts[i].manner = (enum manner)(i % MANNERS);
}

int main(int argc, char **argv)
{
    struct config *c;
    struct error why;

    sim.random = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    clock_freeze(1795421700000);
    log_open("sim", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    c = read_settings();
    if (loop_init(&sim.loop) < 0 ||
        queue_open(&sim.queue, &sim.loop, &sim.settings, ".", &why) < 0 ||
        queue_start(&sim.queue, &why) < 0)
        abort();
    open_peers();
    settle();
    plan();
    run();
    printf(
        "%u jobs in %.1f h: %u delivered, %u given up; a single message was overtaken %u times at "
        "most, nobody was held up longer than %llu ms\n",
        sim.jobs, (double)(queue_now_ms(&sim.queue) - sim.queue.base_ms) / HOUR, sim.delivered,
        sim.given_up, sim.most_overtaken, (unsigned long long)sim.longest_delay_ms);
    if (sim.delivered + sim.given_up != LETTERS)
        fail("no neglect: some are neither delivered nor given up", NULL, 0,
             sim.queue.index.mails.count);
    queue_close(&sim.queue);
    peer_close(&sim.smtpd);
    for (unsigned i = 0; i < WORKERS; i++)
        peer_close(&sim.workers[i]);
    if (loop_turn(&sim.loop, 0) < 0)
        abort();
    loop_release(&sim.loop);
    heap_release(&sim.events);
    free(sim.by_id);
    settings_release(&sim.settings);
    config_free(&c);
    memory_store_forget();
    return EXIT_SUCCESS;
}
