#include "tests/unit/queue/world.h"

#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "queue/control.h"
#include "queue/dispatch.h"
#include "queue/intake.h"
#include "tests/unit/config_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_BYTES = 30000 };

struct world world;

static const char base_settings[] = "hostname: mx.test\n"
                                    "log: {level: error}\n"
                                    "retry: {first: 60s, factor: 2, longest: 1h, lifetime: 1d,\n"
                                    "        notice: 2h, jitter: 0}\n"
                                    "delivery: {concurrency: 2}\n"
                                    "domains: {local.test: {deliver: maildir}}\n"
                                    "maildir: {root: /nowhere}\n";

static char settings_room[65536];

static struct config *read_settings(const char *more, char *room, struct settings *s)
{
    static char text[16384];
    struct buf all = BUF_ON_ARRAY(text);
    const char *files[] = { "t.yaml", text, NULL };
    struct config *c;

    buf_printf(&all, "%s%s%c", base_settings, more, '\0');
    c = config_from(room, sizeof(settings_room), files);
    settings_read(s, c);
    if (config_error_count(c) > 0)
        fail_msg("%.*s", VIEW_ARG(config_errors(c)));
    return c;
}

/* ---- smtpd ---- */

static bool smtpd_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_spool_committed committed;
    struct message_spool_failed failed;
    struct message_spool_opened opened;

    (void)p;
    if (type == MESSAGE_SPOOL_COMMITTED) {
        assert_true(message_spool_committed_decode(fields, &committed));
        world.committed = committed.message;
        world.committed_transaction = committed.transaction;
    } else if (type == MESSAGE_SPOOL_FAILED) {
        assert_true(message_spool_failed_decode(fields, &failed));
        world.failed_transaction = failed.transaction;
        world.failed_with = failed.trouble;
    } else if (type == MESSAGE_SPOOL_OPENED) {
        assert_true(message_spool_opened_decode(fields, &opened));
        world.opened_fd = fd;
    } else {
        assert_int_equal(type, MESSAGE_SPOOL_STATE);
        assert_true(message_spool_state_decode(fields, &world.state));
    }
    return true;
}

static void smtpd_gone(struct peer *p)
{
    (void)p;
    world.smtpd_gone = true;
}

static void connect_smtpd(void)
{
    int fds[2];

    assert_int_equal(channel_pair(fds), 0);
    world.smtpd_gone = false;
    world.smtpd.heard = smtpd_heard;
    world.smtpd.gone = smtpd_gone;
    assert_int_equal(peer_open(&world.smtpd, &world.loop, SMTPD, QUEUE, 0, fds[1]), 0);
    intake_add_peer(world.queue.intake, 0, fds[0]);
}

/* What remains. */
static struct view send_parts(uint64_t transaction, struct view bytes, size_t most)
{
    while (bytes.len > most) {
        const struct message_spool_part part = { transaction, view_sub(bytes, 0, PART_BYTES) };

        peer_send_spool_part(&world.smtpd, &part, -1);
        bytes = view_from(bytes, part.bytes.len);
    }
    return bytes;
}

uint64_t world_accept(const char *sender, const char *recipients, struct view body)
{
    static char room[400000];
    static uint64_t transaction = 100;
    struct envelope_rcpt rcpts[WORLD_RCPTS_MAX] = { 0 };
    struct envelope e = world.said;
    struct buf text = BUF_ON_ARRAY(room);
    struct view rest = view_of(recipients);
    struct message_spool_commit m = { .transaction = ++transaction };

    e.sender = view_of(sender);
    e.rcpts = rcpts;
    e.arrival_ms = clock_wall_ms();
    e.hold = view_of(world.hold);
    for (; rest.len > 0; e.rcpt_count++)
        rcpts[e.rcpt_count] =
            (struct envelope_rcpt){ .address = view_take_word(&rest),
                                    .notify = world.notify ? world.notify[e.rcpt_count] : 0 };
    assert_true(envelope_encode(&e, &text));
    m.body_bytes = body.len;
    m.body_crc = crc32c(0, body);
    m.envelope = buf_view(&text);
    if (m.envelope.len > PART_BYTES) {
        m.envelope_ahead = (uint32_t)m.envelope.len;
        m.envelope = send_parts(transaction, m.envelope, 0);
    }
    m.body = send_parts(transaction, body, PART_BYTES);
    world.committed = 0;
    peer_send_spool_commit(&world.smtpd, &m, -1);
    world_run();
    return world.committed;
}

/* ---- workers ---- */

static char *copy_of(struct view v)
{
    return memory_copy(v);
}

static void take_part(struct world_worker *w, struct view bytes)
{
    w->parts = memory_grow(w->parts, w->parts_len + bytes.len + 1, 1);
    memcpy(w->parts + w->parts_len, bytes.ptr, bytes.len);
    w->parts_len += bytes.len;
}

static void take_job(struct world_worker *w, struct view fields, int fd)
{
    struct world_job *j = &world.jobs[world.job_count++];

    assert_true(world.job_count <= WORLD_JOBS_MAX);
    *j = (struct world_job){ .worker = w, .big_fd = fd };
    j->memory = copy_of(fields);
    assert_true(message_job_start_decode(view_make(j->memory, fields.len), &j->start));
    take_part(w, j->start.body);
    j->body = w->parts;
    j->body_len = w->parts_len;
    w->parts = NULL;
    w->parts_len = 0;
    arena_init(&j->arena, LETTER_ARENA_MAX);
    assert_true(job_envelope(&j->start, &j->arena, &j->envelope, &j->indexes));
}

static void take_cancel(const struct message_job_cancel *m)
{
    for (unsigned i = 0; i < world.job_count; i++) {
        if (world.jobs[i].start.job == m->job)
            world.jobs[i].cancelled = true;
    }
}

/* Which hosts a domain has stands in world.mail_hosts: "domain hosts domain hosts ...". */
static void answer_mx(struct world_worker *w, const struct message_mx_ask *ask)
{
    struct message_mx_answer m = { .question = ask->question, .order = world.order };
    struct view rest = view_of(world.mail_hosts == NULL ? "" : world.mail_hosts);
    struct view domain;

    while ((domain = view_take_word(&rest)).len > 0) {
        struct view hosts = view_take_word(&rest);

        if (view_equal(domain, ask->domain))
            m.hosts = hosts;
    }
    peer_send_mx_answer(&w->peer, &m, -1);
}

static bool worker_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct world_worker *w = container_of(p, struct world_worker, peer);
    struct message_job_part part;
    struct message_job_cancel cancel;
    struct message_mx_ask ask;

    if (type == MESSAGE_MX_ASK) {
        assert_true(message_mx_ask_decode(fields, &ask));
        world.asked++;
        if (world.on_asked != NULL)
            world.on_asked(ask.domain);
        if (!world.silent)
            answer_mx(w, &ask);
    } else if (type == MESSAGE_JOB_START) {
        take_job(w, fields, fd);
    } else if (type == MESSAGE_JOB_PART) {
        assert_true(message_job_part_decode(fields, &part));
        take_part(w, part.bytes);
    } else {
        assert_int_equal(type, MESSAGE_JOB_CANCEL);
        assert_true(message_job_cancel_decode(fields, &cancel));
        take_cancel(&cancel);
    }
    return true;
}

static void worker_gone(struct peer *p)
{
    container_of(p, struct world_worker, peer)->gone = true;
}

struct world_worker *world_add_worker(enum process kind, uint32_t index)
{
    static const struct message_ready_for ready = { 50 };
    struct world_worker *w = &world.workers[world.worker_count++];
    int fds[2];

    assert_true(world.worker_count <= COUNT_OF(world.workers));
    *w = (struct world_worker){ .gone = false };
    w->peer.heard = worker_heard;
    w->peer.gone = worker_gone;
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&w->peer, &world.loop, kind, QUEUE, 0, fds[1]), 0);
    dispatch_add_worker(world.queue.dispatch, kind, index, fds[0]);
    peer_send_ready_for(&w->peer, &ready, -1);
    return w;
}

void world_lose_worker(struct world_worker *w)
{
    peer_close(&w->peer);
    w->gone = true;
    world_run();
}

struct world_job *world_job(unsigned n)
{
    if (n >= world.job_count)
        fail_msg("there are only %u jobs", world.job_count);
    return &world.jobs[n];
}

void world_result(struct world_job *j, uint32_t n, enum outcome_class class,
                  enum outcome_scope scope, unsigned code, const char *text)
{
    static const uint8_t classes[] = { 2, 4, 5 };
    struct outcome o = {
        .class = class,
        .scope = scope,
        .code = code,
        .enhanced = { classes[class], code == 0 ? 4 : 1, code == 0 ? 2 : 1 },
        .text = view_of(text),
        .host = VIEW_INIT("mx.there.test[192.0.2.1]:25"),
        .doing = VIEW_INIT("sending RCPT TO"),
        .dsn = world.dsn && class == OUTCOME_DELIVERED,
        .final = world.final && class == OUTCOME_DELIVERED,
    };
    char room[2048];
    struct buf encoded = BUF_ON_ARRAY(room);
    struct message_rcpt_result m = { .job = j->start.job, .duration_ms = 12 };

    if (world.enhanced.class != 0)
        o.enhanced = world.enhanced;
    assert_true(outcome_encode(&o, &encoded));
    m.rcpt = n == UINT32_MAX ? JOB_ALL_RCPTS : j->indexes[n];
    m.outcome = buf_view(&encoded);
    peer_send_rcpt_result(&j->worker->peer, &m, -1);
}

void world_end(struct world_job *j)
{
    const struct message_job_end m = { j->start.job };

    j->ended = true;
    peer_send_job_end(&j->worker->peer, &m, -1);
    world_run();
}

void world_answer(struct world_job *j, enum outcome_class class, enum outcome_scope scope,
                  unsigned code, const char *text)
{
    world_result(j, UINT32_MAX, class, scope, code, text);
    world_end(j);
}

/* ---- the world ---- */

void world_run(void)
{
    for (int quiet = 0; quiet < 8; quiet++)
        assert_int_equal(loop_turn(&world.loop, 0), 0);
}

/* In steps, so that a timer that is started again on the way is seen. */
void world_pass(uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = MIN(ms, (uint64_t)60000);

        clock_advance(step);
        ms -= step;
        world_run();
    }
}

static void open_queue(void)
{
    struct error why;

    assert_int_equal(queue_open(&world.queue, &world.loop, &world.settings, ".", &why), 0);
    world.queue.control = control_new(&world.queue);
    assert_int_equal(queue_start(&world.queue, &why), 0);
    connect_smtpd();
    world_add_worker(DELIVERY, 0);
    world_add_worker(LOCAL, 0);
    world_run();
}

int world_open(void **state)
{
    (void)state;
    clock_freeze(1795421700000);
    log_open("test", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    memset(&world, 0, sizeof(world));
    world.opened_fd = -1;
    world.config = read_settings("", settings_room, &world.settings);
    assert_int_equal(loop_init(&world.loop), 0);
    open_queue();
    return 0;
}

void world_forget_jobs(void)
{
    for (unsigned i = 0; i < world.job_count; i++) {
        arena_reset(&world.jobs[i].arena);
        free(world.jobs[i].memory);
        free(world.jobs[i].body);
        if (world.jobs[i].big_fd >= 0)
            close(world.jobs[i].big_fd);
    }
    world.job_count = 0;
}

static void close_queue(void)
{
    queue_close(&world.queue);
    peer_close(&world.smtpd);
    for (unsigned i = 0; i < world.worker_count; i++) {
        peer_close(&world.workers[i].peer);
        free(world.workers[i].parts);
    }
    world_forget_jobs();
    world.worker_count = 0;
    assert_int_equal(loop_turn(&world.loop, 0), 0); /* what is deferred */
}

void world_restart(void)
{
    world_restart_after(0);
}

void world_restart_after(uint64_t ms)
{
    close_queue();
    clock_advance(ms);
    open_queue();
}

void world_reload(const char *more)
{
    struct queue_settings *next = memory_new(sizeof(*next));

    next->bundle = memory_new(sizeof(settings_room));
    next->config = read_settings(more, next->bundle, &next->settings);
    queue_reload(&world.queue, next);
}

int world_close(void **state)
{
    (void)state;
    close_queue();
    if (world.opened_fd >= 0)
        close(world.opened_fd);
    loop_release(&world.loop);
    settings_release(&world.settings);
    config_free(&world.config);
    memory_store_forget();
    return 0;
}

void world_deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

void world_defer(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "greylisted");
}

void world_fault(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "connection refused");
}

struct view world_job_body(const struct world_job *j)
{
    return view_make(j->body, j->body_len);
}

bool world_body_has(const struct world_job *j, const char *text)
{
    return view_find_view(world_job_body(j), view_of(text)) < j->body_len;
}

uint32_t world_count_mails(void)
{
    return world.queue.index.mails.count;
}

uint32_t world_count_busy(void)
{
    return world.queue.index.destinations.count - world.queue.index.resting_count;
}
