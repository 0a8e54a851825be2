#include "tests/crash/relay.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "ipc/role.h"
#include "tests/unit/config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    SPEED = 50, /* of its clocks: seconds of waiting are moments */
    PIECE = 30000,
    SAID_MOST = 1 << 20,
};

static const char settings_text[] =
    "hostname: mx.test\n"
    "log: {level: warning}\n"
    "retry: {first: 1s, factor: 1, longest: 1s, notice: 0s, jitter: 0}\n"
    "spool: {path: %s/spool, segment: 1M, big-body: 128K, reserve: 1M}\n%c";

static NORETURN void give_up(const char *doing)
{
    perror(doing);
    exit(1);
}

/* ---- the process ---- */

static int settings_file(const struct relay *r)
{
    char text[4096], room[8192];
    struct buf yaml = BUF_ON_ARRAY(text);
    const char *files[] = { "t.yaml", text, NULL };
    struct wire_writer w = wire_write(room, sizeof(room));
    struct view bundle;
    int fd = memfd_create("settings", MFD_CLOEXEC);

    buf_printf(&yaml, settings_text, r->folder, '\0');
    wire_put_u32(&w, 1);
    wire_put_view(&w, view_of(files[0]));
    wire_put_view(&w, view_of(files[1]));
    wire_put_u32(&w, 0);
    if (fd < 0 || !wire_finish(&w, &bundle) ||
        write(fd, bundle.ptr, bundle.len) != (ssize_t)bundle.len)
        give_up("settings");
    return fd;
}

static void set_number(const char *name, long value)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", value);
    setenv(name, text, 1);
}

/* All lives have one clock. */
static long began(void)
{
    static struct timespec t;

    if (t.tv_sec == 0)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static NORETURN void become_queue(const struct relay *r, const struct relay_stop *stop, int channel,
                                  int log)
{
    const char *options = getenv("ASAN_OPTIONS");
    char asan[256];

    snprintf(asan, sizeof(asan), "verify_asan_link_order=0:detect_leaks=0:%s",
             options != NULL ? options : "");
    setenv("ASAN_OPTIONS", asan, 1);
    setenv("LD_PRELOAD", r->library, 1);
    setenv("STOP_HOW", stop->how, 1);
    setenv("STOP_REPORT", "1", 1);
    set_number("STOP_AT", stop->at);
    set_number("STOP_COUNT", stop->count);
    set_number("STOP_SPEED", SPEED);
    set_number("STOP_BEGAN", began());
    dup2(log, 2);
    if (channel == ROLE_CHANNEL_FD)
        fcntl(channel, F_SETFD, 0);
    else
        dup2(channel, ROLE_CHANNEL_FD);
    close_range(ROLE_CHANNEL_FD + 1, ~0u, 0);
    execl(r->queue, "tern-queue", NULL);
    _exit(127);
}

static void on_log(struct watch *w, unsigned what)
{
    struct relay *r = container_of(w, struct relay, log);
    ssize_t n = read(w->fd, r->said + r->said_len, SAID_MOST - 1 - r->said_len);

    (void)what;
    if (n > 0)
        r->said_len += (size_t)n;
    r->said[r->said_len] = '\0';
}

const char *relay_said(const struct relay *r)
{
    return r->said;
}

long relay_calls(const struct relay *r)
{
    const char *at = strstr(r->said, "calls ");

    return at == NULL ? -1 : strtol(at + 6, NULL, 10);
}

/* ---- the master ---- */

static bool master_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    (void)fields;
    if (fd >= 0)
        close(fd);
    container_of(p, struct relay, master)->ready |= type == MESSAGE_READY;
    return type == MESSAGE_READY;
}

static void on_gone(struct peer *p)
{
    (void)p;
}

static void open_peer(struct relay *r, struct peer *p, enum process self, int fd)
{
    p->gone = on_gone;
    if (peer_open(p, &r->loop, self, QUEUE, 0, fd) < 0)
        give_up("peer");
}

static void grant_peer(struct relay *r, struct peer *p, enum process kind)
{
    const struct message_grant m = { GRANT_PEER, 0, kind };
    int fds[2];

    if (channel_pair(fds) < 0)
        give_up("channel");
    peer_send_grant(&r->master, &m, fds[0]);
    close(fds[0]);
    open_peer(r, p, kind, fds[1]);
}

static void grant_control(struct relay *r)
{
    const struct message_grant m = { GRANT_CONTROL, 0, MASTER };
    const struct sockaddr_un any = { .sun_family = AF_UNIX };

    r->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->control < 0 ||
        bind(r->control, (const struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
        listen(r->control, 5) < 0)
        give_up("control socket");
    peer_send_grant(&r->master, &m, r->control);
}

static void grant_all(struct relay *r)
{
    const struct message_grant settings = { GRANT_SETTINGS, 0, MASTER };
    const struct message_start start = {
        .count = 1, .generation = 1, .uid = UINT32_MAX, .gid = UINT32_MAX
    };
    const struct message_ready_for ready_for = { 50 };
    int fd = settings_file(r);

    peer_send_grant(&r->master, &settings, fd);
    close(fd);
    grant_peer(r, &r->smtpd, SMTPD);
    grant_peer(r, &r->delivery, DELIVERY);
    grant_control(r);
    peer_send_start(&r->master, &start, -1);
    peer_send_ready_for(&r->delivery, &ready_for, -1);
}

/* ---- smtpd ---- */

static bool smtpd_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct relay *r = container_of(p, struct relay, smtpd);
    struct message_spool_committed committed;
    struct message_spool_failed failed;

    if (type == MESSAGE_SPOOL_COMMITTED && message_spool_committed_decode(fields, &committed)) {
        r->answered(r, committed.transaction, committed.message);
    } else if (type == MESSAGE_SPOOL_FAILED && message_spool_failed_decode(fields, &failed)) {
        r->not_opened = true;
        r->answered(r, failed.transaction, 0);
    } else if (type == MESSAGE_SPOOL_OPENED) {
        r->opened = true;
        r->opened_fd = fd;
    }
    return true;
}

static bool has_opened(struct relay *r)
{
    return r->opened || r->not_opened;
}

/* False: there is no file. */
static bool write_big(struct relay *r, uint64_t transaction, struct view body)
{
    const struct message_spool_open m = { transaction };
    bool written;

    r->opened = r->not_opened = false;
    peer_send_spool_open(&r->smtpd, &m, -1);
    if (!relay_wait(r, has_opened) || !r->opened)
        return false;
    written = write(r->opened_fd, body.ptr, body.len) == (ssize_t)body.len;
    close(r->opened_fd);
    return written;
}

/* What is left over. */
static struct view send_parts(struct relay *r, uint64_t transaction, struct view body)
{
    while (body.len > PIECE) {
        const struct message_spool_part m = { transaction, view_sub(body, 0, PIECE) };

        peer_send_spool_part(&r->smtpd, &m, -1);
        body = view_from(body, PIECE);
    }
    return body;
}

bool relay_offer(struct relay *r, uint64_t transaction, const struct envelope *e, struct view body,
                 bool big)
{
    static char room[16384];
    struct buf text = BUF_ON_ARRAY(room);
    struct message_spool_commit m = {
        .transaction = transaction, .body_bytes = body.len, .body_crc = crc32c(0, body), .big = big
    };

    if (!envelope_encode(e, &text))
        abort();
    m.envelope = buf_view(&text);
    if (!big)
        m.body = send_parts(r, transaction, body);
    else if (!write_big(r, transaction, body))
        return false;
    peer_send_spool_commit(&r->smtpd, &m, -1);
    return true;
}

void relay_offer_half(struct relay *r, uint64_t transaction, struct view body, bool big)
{
    if (big)
        (void)write_big(r, transaction, body);
    else
        (void)send_parts(r, transaction, body);
}

/* ---- delivery ---- */

static void take_part(struct relay *r, struct view bytes)
{
    r->parts = memory_grow(r->parts, r->parts_len + bytes.len + 1, 1);
    if (bytes.len > 0)
        memcpy(r->parts + r->parts_len, bytes.ptr, bytes.len);
    r->parts_len += bytes.len;
}

static void take_file(struct relay *r, int fd, uint64_t bytes)
{
    r->parts = memory_grow(r->parts, bytes + 1, 1);
    r->parts_len = 0;
    while (r->parts_len < bytes) {
        ssize_t n = pread(fd, r->parts + r->parts_len, bytes - r->parts_len, (off_t)r->parts_len);

        if (n <= 0)
            break;
        r->parts_len += (size_t)n;
    }
}

static void take_job(struct relay *r, struct view fields, int fd)
{
    struct relay_job j = { .envelope = { .rcpt_count = 0 } };
    struct message_job_end end;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    if (!message_job_start_decode(fields, &j.start) ||
        !job_envelope(&j.start, &arena, &j.envelope, &j.indexes))
        give_up("job");
    if (j.start.big)
        take_file(r, fd, j.start.body_bytes);
    else
        take_part(r, j.start.body);
    j.body = view_make(r->parts, r->parts_len);
    r->deliver(r, &j);
    r->parts_len = 0;
    end.job = j.start.job;
    peer_send_job_end(&r->delivery, &end, -1);
    arena_reset(&arena);
}

static void answer_mx(struct relay *r, const struct message_mx_ask *ask)
{
    char name[300];
    struct buf hosts = BUF_ON_ARRAY(name);
    struct message_mx_answer m = { .question = ask->question };

    buf_printf(&hosts, "mx.%.*s", VIEW_ARG(ask->domain));
    m.hosts = buf_view(&hosts);
    peer_send_mx_answer(&r->delivery, &m, -1);
}

static bool delivery_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct relay *r = container_of(p, struct relay, delivery);
    struct message_job_part part;
    struct message_mx_ask ask;

    if (type == MESSAGE_MX_ASK && message_mx_ask_decode(fields, &ask))
        answer_mx(r, &ask);
    else if (type == MESSAGE_JOB_PART && message_job_part_decode(fields, &part))
        take_part(r, part.bytes);
    else if (type == MESSAGE_JOB_START)
        take_job(r, fields, fd);
    if (fd >= 0)
        close(fd);
    return true;
}

void relay_result(struct relay *r, const struct relay_job *j, size_t rcpt, enum outcome_class c)
{
    static const struct outcome outcomes[] = {
        [OUTCOME_DELIVERED] = { .code = 250, .enhanced = { 2, 0, 0 }, .text = VIEW_INIT("ok") },
        [OUTCOME_DEFERRED] = { .code = 450, .enhanced = { 4, 2, 0 }, .text = VIEW_INIT("later") },
        [OUTCOME_FAILED] = { .code = 550, .enhanced = { 5, 1, 1 }, .text = VIEW_INIT("no such") },
    };
    struct outcome o = outcomes[c];
    char room[2048];
    struct buf encoded = BUF_ON_ARRAY(room);
    struct message_rcpt_result m = { .job = j->start.job, .rcpt = j->indexes[rcpt] };

    o.class = c;
    o.scope = SCOPE_RCPT;
    o.host = VIEW("mx.test[192.0.2.1]:25");
    if (!outcome_encode(&o, &encoded))
        abort();
    m.outcome = buf_view(&encoded);
    peer_send_rcpt_result(&r->delivery, &m, -1);
}

/* ---- the administrator ---- */

static int connect_control(const struct relay *r)
{
    struct sockaddr_un name;
    socklen_t len = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || getsockname(r->control, (struct sockaddr *)&name, &len) < 0 ||
        connect(fd, (struct sockaddr *)&name, len) < 0)
        give_up("control");
    return fd;
}

/* The other parts go on meanwhile: the queue may wait for them. */
static bool is_readable(struct relay *r, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t end = clock_monotonic_ms() + PATIENCE_MS;

    while (poll(&p, 1, 0) == 0) {
        if (loop_turn(&r->loop, 1) < 0 || !peer_is_open(&r->master) || clock_monotonic_ms() > end)
            return false;
    }
    return true;
}

long relay_ask(struct relay *r, const char *request, const char *key)
{
    static char room[1 << 16];
    size_t len = 0;
    int fd = connect_control(r);
    const char *at = NULL;

    /* It may be stopped just now. */
    (void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
    (void)!send(fd, "\n", 1, MSG_NOSIGNAL);
    while (at == NULL && is_readable(r, fd)) {
        ssize_t n = read(fd, room + len, sizeof(room) - 1 - len);

        if (n <= 0)
            break;
        len += (size_t)n;
        room[len] = '\0';
        at = strstr(room, key);
        if (at == NULL && len > sizeof(room) / 2) { /* only the end matters */
            memmove(room, room + len - 100, 100);
            len = 100;
        }
    }
    close(fd);
    return at == NULL ? -1 : strtol(at + strlen(key), NULL, 10);
}

/* ---- a life ---- */

void relay_begin(struct relay *r, const struct relay_stop *stop)
{
    int channel[2], log[2];

    r->ready = false;
    if (r->said == NULL)
        r->said = memory_new(SAID_MOST);
    r->said_len = r->parts_len = 0;
    r->said[0] = '\0';
    r->master = (struct peer){ .heard = master_heard };
    r->smtpd = (struct peer){ .heard = smtpd_heard };
    r->delivery = (struct peer){ .heard = delivery_heard };
    if (channel_pair(channel) < 0 || pipe2(log, O_CLOEXEC) < 0)
        give_up("channel");
    began();
    r->pid = fork();
    if (r->pid < 0)
        give_up("fork");
    if (r->pid == 0)
        become_queue(r, stop, channel[1], log[1]);
    close(channel[1]);
    close(log[1]);
    fcntl(log[0], F_SETFL, O_NONBLOCK);
    r->log = (struct watch){ .fd = log[0], .ready = on_log };
    if (loop_watch(&r->loop, &r->log, WANT_READ) < 0)
        give_up("log");
    open_peer(r, &r->master, MASTER, channel[0]);
    grant_all(r);
}

bool relay_is_ready(struct relay *r)
{
    return r->ready;
}

bool relay_wait(struct relay *r, bool (*done)(struct relay *r))
{
    uint64_t end = clock_monotonic_ms() + PATIENCE_MS;

    while (!done(r)) {
        if (loop_turn(&r->loop, 2) < 0 || !peer_is_open(&r->master) || clock_monotonic_ms() > end)
            return false;
    }
    return true;
}

static bool never(struct relay *r)
{
    (void)r;
    return false;
}

enum relay_end relay_finish(struct relay *r)
{
    const struct message_drain drain = { .stop = 1 };
    bool ready = r->ready;
    int status;

    peer_close(&r->smtpd);
    peer_close(&r->delivery);
    if (peer_is_open(&r->master)) {
        peer_send_drain(&r->master, &drain, -1);
        if (!relay_wait(r, never) && peer_is_open(&r->master))
            kill(r->pid, SIGABRT); /* patience is over */
    }
    peer_close(&r->master);
    if (waitpid(r->pid, &status, 0) != r->pid)
        give_up("waitpid");
    on_log(&r->log, 0);
    loop_unwatch(&r->loop, &r->log);
    close(r->log.fd);
    close(r->control);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? RELAY_STOPPED : RELAY_BROKE;
    if (WEXITSTATUS(status) == 0)
        return RELAY_ENDED;
    return WEXITSTATUS(status) == ROLE_EXIT_CONFIG && !ready ? RELAY_REFUSED : RELAY_BROKE;
}
