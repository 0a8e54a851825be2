/* tern-queue: owns every accepted message. The only role that reaches the spool; it has no
 * network, and parses neither SMTP nor TLS nor DNS. */
#include "common/memory.h"
#include "io/log.h"
#include "ipc/role.h"
#include "queue/check.h"
#include "queue/control.h"
#include "queue/dispatch.h"
#include "queue/intake.h"
#include "queue/restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETTINGS_MAX = 64 << 20, /* bytes of a bundle that a reload brings */
};

static struct {
    struct role role;
    struct queue queue;
} tern;

/* The spool is opened with the role's own rights: what is made in it belongs to the role. */
static int prepare(struct role *r, struct error *err)
{
    struct queue *q = &tern.queue;
    int result = queue_open(q, &r->loop, &r->settings, ".", err);

    if (result < 0)
        return result;
    q->generation = r->start.generation;
    q->control = control_new(q);
    return queue_start(q, err);
}

/* ---- reload ---- */

static struct queue_settings *read_settings(int fd)
{
    struct error why = { "" };
    struct view bundle = role_read_file(fd, SETTINGS_MAX, &why);
    struct queue_settings *s;

    if (bundle.ptr == NULL) {
        log_error("settings_unreadable", LOG_STRING("reason", why.text));
        return NULL;
    }
    s = memory_new(sizeof(*s));
    s->bundle = (char *)(uintptr_t)bundle.ptr;
    s->config = config_parse(bundle);
    settings_read(&s->settings, s->config);
    if (config_error_count(s->config) == 0)
        return s;
    log_error("settings_unreadable", LOG_VIEW("reason", config_errors(s->config)));
    settings_release(&s->settings);
    config_free(&s->config);
    free(s->bundle);
    free(s);
    return NULL;
}

static void take_settings(struct queue *q, int fd)
{
    struct queue_settings *next = read_settings(fd);

    if (next != NULL)
        queue_reload(q, next);
}

static void on_reloaded(struct role *r, const struct message_reloaded *m)
{
    struct queue *q = &tern.queue;
    struct buf words = BUF_ON_ARRAY(q->reload.words);

    (void)r;
    q->generation = m->generation;
    q->reload.at_ms = m->at_ms;
    q->reload.ok = m->ok;
    buf_put(&words, view_sub(m->words, 0, sizeof(q->reload.words) - 1));
    q->reload.words[buf_len(&words)] = '\0';
}

/* ---- grants ---- */

static void take_peer(struct queue *q, const struct message_grant *what, int fd)
{
    if (what->peer == SMTPD)
        intake_add_peer(q->intake, what->index, fd);
    else if (what->peer == DELIVERY || what->peer == LOCAL)
        dispatch_add_worker(q->dispatch, what->peer, what->index, fd);
    else
        close(fd);
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    struct queue *q = &tern.queue;

    (void)r;
    if (what->kind == GRANT_PEER)
        take_peer(q, what, fd);
    else if (what->kind == GRANT_CONTROL)
        control_listen(q->control, fd);
    else if (what->kind == GRANT_SETTINGS)
        take_settings(q, fd);
    else
        close(fd);
}

static void on_drain(struct role *r, bool stop)
{
    (void)r;
    (void)stop;
    queue_drain(&tern.queue);
}

static int run_role(void)
{
    struct sandbox sandbox = { .writable = { "." } };
    struct role *r = &tern.role;
    int status;

    role_begin(r, QUEUE);
    role_enter_folder(r->settings.spool.path);
    r->prepare = prepare;
    r->granted = on_granted;
    r->drain = on_drain;
    r->reloaded = on_reloaded;
    status = role_run(r, &sandbox);
    queue_close(&tern.queue);
    return status;
}

/* ---- offline ---- */

static int fail(const struct error *why)
{
    fprintf(stderr, "tern-queue: %s\n", why->text);
    return EXIT_FAILURE;
}

/* Into the spool, and then no more than its owner may do there, even for root. */
static int enter_spool(const char *path, struct error *err)
{
    struct sandbox sandbox = { .role = "queue", .powers = SANDBOX_FILES, .readable = { "." } };
    struct stat spool;

    if (chdir(path) < 0 || stat(".", &spool) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    sandbox.uid = spool.st_uid;
    sandbox.gid = spool.st_gid;
    return sandbox_enter(&sandbox, err);
}

/* Serves the control protocol on descriptor 0, about a spool that nobody runs; writes nothing. */
static int run_offline(const char *path)
{
    struct queue *q = &tern.queue;
    struct error why = { "no event loop" };
    struct loop loop;
    int err;

    log_open("queue", LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    if (loop_init(&loop) < 0 || enter_spool(path, &why) < 0 ||
        queue_open(q, &loop, NULL, ".", &why) < 0)
        return fail(&why);
    restore_show(q);
    q->control = control_new(q);
    err = control_serve(q->control, STDIN_FILENO);
    if (err == 0)
        err = loop_run(&loop);
    queue_close(q);
    loop_release(&loop);
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Also while a queue runs in it. The exit status is the result. */
static int run_check(const char *path, bool json)
{
    struct error why = { "" };
    enum check_result result = CHECK_FAILED;

    log_open("queue", LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    if (enter_spool(path, &why) == 0)
        result = check_spool(STDOUT_FILENO, json, &why);
    if (result == CHECK_FAILED)
        fail(&why);
    return (int)result;
}

int main(int argc, char **argv)
{
    umask(077);
    if (argc == 3 && strcmp(argv[1], "--offline") == 0)
        return run_offline(argv[2]);
    if (argc == 3 && (strcmp(argv[1], "--check") == 0 || strcmp(argv[1], "--check-json") == 0))
        return run_check(argv[2], strcmp(argv[1], "--check-json") == 0);
    if (argc > 1) {
        fputs("usage: tern-queue [--offline | --check | --check-json SPOOL]\n"
              "Started by tern-master; with an option by tern.\n",
              stderr);
        return EXIT_FAILURE;
    }
    return run_role();
}
