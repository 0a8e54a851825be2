#include "tools/ways.h"

#include "common/memory.h"
#include "io/channel.h"
#include "io/loop.h"
#include "ipc/peer.h"
#include "ipc/role.h"
#include "tools/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BUNDLE_MAX = 16 << 20,   /* bytes of all configuration files together */
    PATIENCE_MS = 70 * 1000, /* delivery answers within a minute, whatever name servers do */
};

enum { WAYS_DNS, WAYS_DELIVERY, WAYS_ROLES };

struct helper {
    struct peer peer;
    struct ways *ways;
    pid_t pid;
};

struct ways {
    struct loop loop;
    struct helper helpers[WAYS_ROLES]; /* we are their master */
    struct peer delivery;              /* and delivery's queue */
    struct timer patience;
    char answer[CHANNEL_PACKET_MAX];
    size_t answer_len;
    bool answered, gone;
};

static const enum process kinds[WAYS_ROLES] = { DNS, DELIVERY };

/* ---- what they say ---- */

static bool on_helper_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    (void)p;
    (void)fields;
    if (fd >= 0)
        close(fd);
    return type == MESSAGE_READY;
}

static void on_helper_gone(struct peer *p)
{
    container_of(p, struct helper, peer)->ways->gone = true;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct ways *w = container_of(p, struct ways, delivery);

    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_WAY_ANSWER) {
        memcpy(w->answer, fields.ptr, fields.len);
        w->answer_len = fields.len;
        w->answered = true;
    }
    return type == MESSAGE_WAY_ANSWER || type == MESSAGE_READY_FOR;
}

static void on_gone(struct peer *p)
{
    container_of(p, struct ways, delivery)->gone = true;
}

static void on_late(struct timer *t)
{
    container_of(t, struct ways, patience)->gone = true;
}

/* ---- starting them ---- */

static NORETURN void become(enum process kind, int channel)
{
    char path[PATH_MAX], name[32];
    char *argv[] = { name, NULL };
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);

    snprintf(name, sizeof(name), "tern-%s", process_name(kind));
    control_find_role(process_name(kind), path);
    dup2(nothing, STDERR_FILENO); /* their log is about their own lives */
    if (channel == ROLE_CHANNEL_FD)
        fcntl(channel, F_SETFD, 0);
    else
        dup2(channel, ROLE_CHANNEL_FD);
    close_range(ROLE_CHANNEL_FD + 1, ~0U, 0);
    execv(path, argv);
    _exit(ROLE_EXIT_CONFIG);
}

static int start(struct ways *w, struct helper *h, enum process kind)
{
    int fds[2];
    int err = channel_pair(fds);

    if (err < 0)
        return err;
    h->ways = w;
    h->peer.heard = on_helper_heard;
    h->peer.gone = on_helper_gone;
    h->pid = fork();
    if (h->pid == 0)
        become(kind, fds[1]);
    close(fds[1]);
    err = h->pid < 0 ? -errno : peer_open(&h->peer, &w->loop, MASTER, kind, 0, fds[0]);
    if (err < 0)
        close(fds[0]);
    return err;
}

static int make_bundle(const struct config *c)
{
    struct buf room;
    int fd = memfd_create("settings", MFD_CLOEXEC);

    buf_new(&room, BUNDLE_MAX);
    if (fd >= 0 && (!config_bundle(c, &room) ||
                    write(fd, room.room, buf_len(&room)) != (ssize_t)buf_len(&room))) {
        close(fd);
        fd = -1;
    }
    buf_free(&room);
    return fd;
}

static void grant(struct helper *h, enum grant_kind kind, enum process peer, int fd)
{
    const struct message_grant m = { kind, 0, peer };

    peer_send_grant(&h->peer, &m, fd);
}

/* As root they become the users that they are when Tern runs. False: there is no such user. */
static bool say_start(struct helper *h, struct view user)
{
    struct message_start m = { .count = 1, .generation = 1, .uid = UINT32_MAX, .gid = UINT32_MAX };
    char *name = memory_copy(user);
    const struct passwd *pw = geteuid() == 0 ? getpwnam(name) : NULL;

    free(name);
    if (geteuid() == 0 && pw == NULL)
        return false;
    if (pw != NULL) {
        m.uid = pw->pw_uid;
        m.gid = pw->pw_gid;
    }
    peer_send_start(&h->peer, &m, -1);
    return true;
}

/* dns and delivery talk to each other, and delivery to its queue. */
static int connect_them(struct ways *w)
{
    int fds[2];
    int err = channel_pair(fds);

    if (err < 0)
        return err;
    grant(&w->helpers[WAYS_DNS], GRANT_PEER, DELIVERY, fds[0]);
    grant(&w->helpers[WAYS_DELIVERY], GRANT_PEER, DNS, fds[1]);
    close(fds[0]);
    close(fds[1]);
    err = channel_pair(fds);
    if (err < 0)
        return err;
    grant(&w->helpers[WAYS_DELIVERY], GRANT_PEER, QUEUE, fds[1]);
    close(fds[1]);
    w->delivery.heard = on_heard;
    w->delivery.gone = on_gone;
    err = peer_open(&w->delivery, &w->loop, QUEUE, DELIVERY, 0, fds[0]);
    if (err < 0)
        close(fds[0]);
    return err;
}

static int set_up(struct ways *w, const struct config *c, const struct settings *s)
{
    int bundle = make_bundle(c);
    int err = bundle < 0 ? -ENOMEM : 0;

    for (size_t i = 0; i < WAYS_ROLES && err == 0; i++)
        err = start(w, &w->helpers[i], kinds[i]);
    for (size_t i = 0; i < WAYS_ROLES && err == 0; i++)
        grant(&w->helpers[i], GRANT_SETTINGS, MASTER, bundle);
    if (bundle >= 0)
        close(bundle);
    if (err == 0)
        err = connect_them(w);
    if (err == 0 && (!say_start(&w->helpers[WAYS_DNS], s->users.dns) ||
                     !say_start(&w->helpers[WAYS_DELIVERY], s->users.delivery)))
        err = -ENOENT;
    return err;
}

struct ways *ways_open(const struct config *c, const struct settings *s, struct error *err)
{
    struct ways *w = memory_new(sizeof(*w));
    int result = loop_init(&w->loop);

    if (result < 0) {
        free(w);
        (void)error_set(err, result, "no event loop");
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    w->patience.fire = on_late;
    result = set_up(w, c, s);
    if (result == 0)
        return w;
    (void)error_set(err, result, "tern-delivery and tern-dns cannot be started: %s",
                    strerror(-result));
    ways_close(&w);
    return NULL;
}

int ways_ask(struct ways *w, const struct message_way_ask *question,
             struct message_way_answer *answer, struct error *err)
{
    int result = 0;

    w->answered = false;
    peer_send_way_ask(&w->delivery, question, -1);
    loop_start_timer(&w->loop, &w->patience, PATIENCE_MS);
    while (result == 0 && !w->answered && !w->gone)
        result = loop_turn(&w->loop, PATIENCE_MS);
    loop_stop_timer(&w->loop, &w->patience);
    if (w->answered && message_way_answer_decode(view_make(w->answer, w->answer_len), answer))
        return 0;
    return error_set(err, -EPROTO, "tern-delivery and tern-dns do not answer");
}

void ways_close(struct ways **w)
{
    if (*w == NULL)
        return;
    peer_close(&(*w)->delivery);
    for (size_t i = 0; i < WAYS_ROLES; i++) {
        struct helper *h = &(*w)->helpers[i];

        peer_close(&h->peer);
        if (h->pid > 0) { /* they have nothing to finish */
            kill(h->pid, SIGKILL);
            waitpid(h->pid, NULL, 0);
        }
    }
    loop_release(&(*w)->loop);
    free(*w);
    *w = NULL;
}
