#include "ipc/role.h"

#include "common/memory.h"
#include "io/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static NORETURN void give_up(const char *why, int err)
{
    log_error("start_failed", LOG_STRING("reason", why), LOG_ERRNO(err != 0 ? "error" : NULL, err));
    exit(ROLE_EXIT_CONFIG);
}

struct view role_read_file(int fd, size_t most, struct error *err)
{
    struct stat st;
    char *room;
    size_t len = 0;
    ssize_t n;

    if (fstat(fd, &st) < 0 || st.st_size < 0 || (size_t)st.st_size > most) {
        error_set(err, 0, "cannot be read, or is larger than %zu bytes", most);
        close(fd);
        return VIEW_EMPTY;
    }
    room = memory_new((size_t)st.st_size + 1);
    while (len < (size_t)st.st_size &&
           (n = pread(fd, room + len, (size_t)st.st_size - len, (off_t)len)) > 0)
        len += (size_t)n;
    close(fd);
    if (len < (size_t)st.st_size) {
        error_set(err, 0, "cannot be read to its end");
        free(room);
        return VIEW_EMPTY;
    }
    return view_make(room, len);
}

/* The bundle is mapped for good: settings borrow from it. */
static struct config *map_settings(int fd)
{
    struct stat st;
    const char *bytes;

    if (fstat(fd, &st) < 0)
        give_up("the settings cannot be read", errno);
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        give_up("the settings cannot be mapped", errno);
    close(fd);
    return config_parse(view_make(bytes, (size_t)st.st_size));
}

static void take_grant(struct role *r, const struct message_grant *grant, int fd)
{
    if (grant->kind == GRANT_SETTINGS) {
        r->config = map_settings(fd);
        return;
    }
    if (r->grant_count == COUNT_OF(r->grants))
        give_up("too many grants", 0);
    r->grants[r->grant_count++] = (struct role_grant){ *grant, fd };
}

static void receive_grants(struct role *r)
{
    static char room[CHANNEL_PACKET_MAX];

    for (;;) {
        struct message_grant grant;
        enum message type;
        struct view fields;
        int fd = -1;
        long n = channel_receive_blocking(ROLE_CHANNEL_FD, room, sizeof(room), &fd);

        if (n <= 0)
            give_up("started by hand? Roles are started by tern-master", n < 0 ? (int)-n : 0);
        if (!message_open(view_make(room, (size_t)n), &type, &fields))
            give_up("the master said something unknown", 0);
        if (type == MESSAGE_START && message_start_decode(fields, &r->start))
            return;
        if (type != MESSAGE_GRANT || !message_grant_decode(fields, &grant) || fd < 0)
            give_up("the master said something unexpected", 0);
        take_grant(r, &grant, fd);
    }
}

void role_begin(struct role *r, enum process kind)
{
    static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };
    int err;

    *r = (struct role){ .kind = kind };
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
    log_open(process_name(kind), LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    receive_grants(r);
    if (r->config == NULL)
        give_up("no settings were granted", 0);
    settings_read(&r->settings, r->config);
    if (config_error_count(r->config) > 0)
        give_up("the settings have errors that the master did not see", 0);
    log_open(process_name(kind), (enum log_format)r->settings.log_format,
             (enum log_level)r->settings.log_level);
    err = loop_init(&r->loop);
    if (err < 0)
        give_up("no event loop", -err);
}

unsigned role_powers(enum process kind)
{
    static const unsigned powers[PROCESS_KINDS] = {
        [MASTER] = SANDBOX_SUPERVISE,
        [SMTPD] = SANDBOX_ACCEPT,
        [QUEUE] = SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_ACCEPT | SANDBOX_PEERCRED,
        [DELIVERY] = SANDBOX_CONNECT,
        [DNS] = SANDBOX_CONNECT | SANDBOX_DATAGRAM,
        [LOCAL] = SANDBOX_FILES,
        [KEYS] = 0,
        [AUTH] = SANDBOX_READ | SANDBOX_UNIX,
    };

    return powers[kind];
}

void role_enter_folder(struct view path)
{
    char *name = memory_copy(path);

    if (chdir(name) < 0)
        give_up(name, errno);
    free(name);
}

static bool on_master_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct role *r = container_of(p, struct role, master);
    struct message_grant grant;
    struct message_reloaded reloaded;
    struct message_drain drain;

    if (type == MESSAGE_GRANT && fd >= 0 && message_grant_decode(fields, &grant)) {
        r->granted(r, &grant, fd);
        return true;
    }
    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_DRAIN && message_drain_decode(fields, &drain)) {
        r->drain(r, drain.stop != 0);
        return true;
    }
    if (type == MESSAGE_RELOADED && r->reloaded != NULL &&
        message_reloaded_decode(fields, &reloaded)) {
        r->reloaded(r, &reloaded);
        return true;
    }
    return false;
}

static void on_master_gone(struct peer *p)
{
    struct role *r = container_of(p, struct role, master);

    log_warn("master_gone", LOG_STRING("doing", "ending"));
    r->drain(r, true);
}

int role_run(struct role *r, struct sandbox *sandbox)
{
    static const struct message_ready ready = { 0 };
    struct error why = { "" };
    int err;

    sandbox->role = process_name(r->kind);
    sandbox->powers |= role_powers(r->kind);
    sandbox->uid = r->start.uid;
    sandbox->gid = r->start.gid;
    err = sandbox_enter(sandbox, &why);
    if (err == 0 && r->prepare != NULL)
        err = r->prepare(r, &why);
    if (err < 0)
        give_up(why.text, -err);
    r->master.heard = on_master_said;
    r->master.gone = on_master_gone;
    err = peer_open(&r->master, &r->loop, r->kind, MASTER, 0, ROLE_CHANNEL_FD);
    if (err < 0)
        give_up("the master's channel", -err);
    for (size_t i = 0; i < r->grant_count; i++)
        r->granted(r, &r->grants[i].what, r->grants[i].fd);
    peer_send_ready(&r->master, &ready, -1);
    err = loop_run(&r->loop);
    if (err < 0)
        log_error("loop_failed", LOG_ERRNO("error", -err));
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
