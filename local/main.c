/* tern-local: puts mail for local domains into Maildirs. The only role that reaches mailboxes; it
 * has no network. */
#include "common/memory.h"
#include "io/log.h"
#include "ipc/role.h"
#include "local/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    JOBS = 50,            /* at once: what comes in a turn shares the sync of its folders */
    DRAIN_QUIET_MS = 200, /* without a new job after the queue was told to send no more */
    PARTS_MAX =
        17 << 20, /* bytes of a body that is no file: the largest spool.big-body, and trace */
};

struct local {
    struct role role;
    struct peer queue;
    struct deliver deliver;
    struct hook finish;
    struct timer quiet; /* runs while draining */
    bool draining;
    /* A body that exceeds a packet: its parts come one after the other, then their job. */
    uint64_t parts_job;
    char *parts;
    size_t parts_len;
};

static struct local local;

static void on_report(struct deliver *d, const struct message_rcpt_result *result, bool last)
{
    struct local *l = container_of(d, struct local, deliver);
    const struct message_job_end end = { result->job };

    peer_send_rcpt_result(&l->queue, result, -1);
    if (last)
        peer_send_job_end(&l->queue, &end, -1);
}

static void on_turn_over(struct hook *h)
{
    deliver_finish(&container_of(h, struct local, finish)->deliver);
}

static void forget_parts(struct local *l)
{
    free(l->parts);
    l->parts = NULL;
    l->parts_len = 0;
}

static bool hear_part(struct local *l, const struct message_job_part *m)
{
    if (l->parts != NULL && l->parts_job != m->job)
        return false;
    if (l->parts_len + m->bytes.len > PARTS_MAX)
        return false;
    l->parts_job = m->job;
    l->parts = memory_grow(l->parts, l->parts_len + m->bytes.len + 1, 1);
    memcpy(l->parts + l->parts_len, m->bytes.ptr, m->bytes.len);
    l->parts_len += m->bytes.len;
    return true;
}

/* The parts and what came with the job are one body from here on. */
static bool hear_job(struct local *l, struct message_job_start *m, int fd)
{
    const struct message_job_part rest = { m->job, m->body };
    bool sensible;

    if (l->parts != NULL) {
        if (!hear_part(l, &rest))
            return false;
        m->body = view_make(l->parts, l->parts_len);
    }
    sensible = deliver_job(&l->deliver, m, fd);
    forget_parts(l);
    if (l->draining)
        loop_start_timer(&l->role.loop, &l->quiet, DRAIN_QUIET_MS);
    return sensible;
}

static bool hear(struct local *l, enum message type, struct view fields, int fd)
{
    struct message_job_part part;
    struct message_job_start start;

    if (type == MESSAGE_JOB_PART)
        return message_job_part_decode(fields, &part) && hear_part(l, &part);
    if (type == MESSAGE_JOB_START)
        return message_job_start_decode(fields, &start) && hear_job(l, &start, fd);
    /* A job that was heard is done: there is nothing to cancel. */
    return type == MESSAGE_JOB_CANCEL;
}

static bool on_queue_said(struct peer *p, enum message type, struct view fields, int fd)
{
    bool sensible = hear(container_of(p, struct local, queue), type, fields, fd);

    if (fd >= 0)
        close(fd);
    return sensible;
}

static void on_queue_gone(struct peer *p)
{
    struct local *l = container_of(p, struct local, queue);

    forget_parts(l);
    if (l->draining)
        loop_stop(&l->role.loop);
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    struct local *l = container_of(r, struct local, role);
    const struct message_ready_for ready = { l->draining ? 0 : JOBS };
    int err;

    if (what->kind != GRANT_PEER || what->peer != QUEUE) {
        close(fd);
        return;
    }
    peer_close(&l->queue);
    forget_parts(l);
    err = peer_open(&l->queue, &r->loop, LOCAL, QUEUE, what->index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", "queue"), LOG_ERRNO("error", -err));
        close(fd);
        return;
    }
    peer_send_ready_for(&l->queue, &ready, -1);
}

static void on_quiet(struct timer *t)
{
    loop_stop(&container_of(t, struct local, quiet)->role.loop);
}

/* Jobs may be under way that the queue sent before it hears of this. */
static void on_drain(struct role *r, bool stop)
{
    static const struct message_ready_for nothing = { 0 };
    struct local *l = container_of(r, struct local, role);

    (void)stop;
    l->draining = true;
    if (peer_is_open(&l->queue))
        peer_send_ready_for(&l->queue, &nothing, -1);
    loop_start_timer(&r->loop, &l->quiet, DRAIN_QUIET_MS);
}

/* The working folder, as something that can be synced. */
static int open_root(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        log_error("start_failed", LOG_STRING("reason", "the mailboxes' folder cannot be read"),
                  LOG_ERRNO("error", errno));
        exit(ROLE_EXIT_CONFIG);
    }
    return fd;
}

int main(void)
{
    struct sandbox sandbox = { .writable = { "." } };

    umask(077);
    role_begin(&local.role, LOCAL);
    role_enter_folder(local.role.settings.maildir.root);
    deliver_init(&local.deliver, &local.role.settings, open_root());
    local.deliver.report = on_report;
    local.finish.run = on_turn_over;
    loop_before_sleep(&local.role.loop, &local.finish);
    local.quiet.fire = on_quiet;
    local.queue.heard = on_queue_said;
    local.queue.gone = on_queue_gone;
    local.role.granted = on_granted;
    local.role.drain = on_drain;
    return role_run(&local.role, &sandbox);
}
