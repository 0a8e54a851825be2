#include "queue/control.h"

#include "common/memory.h"
#include "queue/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 32,
    REQUEST_MAX = 128 * 1024, /* bytes of a line: some thousand ids */
    ACCEPT_PAUSE_MS = 1000,   /* when there are no descriptors left */
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
    bool ended;   /* the other side will say no more */
    char who[32]; /* for the record: "uid 0" */
    struct buf input;
    struct answer answer;
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

static void on_free(struct deferred *d)
{
    struct client *c = container_of(d, struct client, free_later);

    answer_release(&c->answer);
    buf_free(&c->input);
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
    answer_leave(&c->answer);
    if (c->control->offline)
        loop_stop(l);
    if (!c->step.queued) /* else the step frees it */
        loop_defer(l, &c->free_later);
}

static bool wants_input(const struct client *c)
{
    return !c->ended && (!c->answer.busy || answer_wants_input(&c->answer));
}

static void set_watch(struct client *c)
{
    unsigned wanted = 0;

    if (buf_len(&c->answer.out) > 0)
        wanted |= WANT_WRITE;
    if (wants_input(c))
        wanted |= WANT_READ;
    if (loop_watch(c->control->queue->loop, &c->watch, wanted) < 0)
        close_client(c);
}

static void flush(struct client *c)
{
    struct view bytes = buf_view(&c->answer.out);
    ssize_t n;

    if (bytes.len == 0)
        return;
    n = send(c->watch.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        close_client(c);
        return;
    }
    if (n > 0)
        buf_consume(&c->answer.out, (size_t)n);
}

/* ---- requests ---- */

static bool has_line(const struct client *c)
{
    return view_has(buf_view(&c->input), '\n');
}

static void begin_answer(struct client *c)
{
    const struct request_rights rights = { c->may_change, c->control->offline };
    struct view input = buf_view(&c->input);
    size_t end = view_find(input, '\n');

    answer_begin(&c->answer, view_sub(input, 0, end), &rights);
    buf_consume(&c->input, end + 1);
}

static void feed_import(struct client *c)
{
    buf_consume(&c->input, answer_feed(&c->answer, buf_view(&c->input)));
    if (c->ended && answer_wants_input(&c->answer))
        close_client(c);
}

/* Answers a slice, or begins the next request, or sees that all is said. */
static void on_step(struct deferred *d)
{
    struct client *c = container_of(d, struct client, step);
    struct answer *a = &c->answer;

    if (c->watch.fd < 0) {
        on_free(&c->free_later);
        return;
    }
    if (!a->busy && has_line(c))
        begin_answer(c);
    if (a->import != NULL)
        feed_import(c);
    else if (!answer_go_on(a))
        close_client(c);
    if (c->watch.fd >= 0)
        flush(c);
    if (c->watch.fd < 0)
        return;
    if (answer_can_go_on(a) || (!a->busy && has_line(c)))
        loop_defer(c->control->queue->loop, &c->step);
    else if (c->ended && !a->busy && buf_len(&a->out) == 0)
        close_client(c);
    if (c->watch.fd >= 0)
        set_watch(c);
}

static void on_ready_to_go_on(struct answer *a)
{
    struct client *c = container_of(a, struct client, answer);

    loop_defer(c->control->queue->loop, &c->step);
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
    c->answer = (struct answer){ .queue = control->queue,
                                 .who = view_of(c->who),
                                 .ready = on_ready_to_go_on };
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
