#include "tools/control.h"

#include "common/memory.h"
#include "tools/commands.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 20 }; /* of an answer: a message with 1,000 recipients fits */

#ifndef TERN_LIBEXEC
#define TERN_LIBEXEC "/usr/libexec/tern"
#endif

static int connect_to(struct view path, struct error *err)
{
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    int fd;

    if (path.len >= sizeof(where.sun_path))
        return error_set(err, -ENAMETOOLONG, "the path of the control socket is too long");
    memcpy(where.sun_path, path.ptr, path.len);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "no socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&where, sizeof(where)) < 0) {
        int result = error_set(err, -errno, "%.*s: %s", VIEW_ARG(path), strerror(errno));

        close(fd);
        return result;
    }
    return fd;
}

void control_find_role(const char *role, char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n > 0) {
        self[n] = '\0';
        snprintf(path, PATH_MAX, "%s/../%s/tern-%s", dirname(self), role, role);
        if (access(path, X_OK) == 0)
            return;
    }
    snprintf(path, PATH_MAX, "%s/tern-%s", TERN_LIBEXEC, role);
}

int control_become_queue(char **argv)
{
    static char name[] = "tern-queue";
    char executable[PATH_MAX];
    int code;

    argv[0] = name;
    control_find_role("queue", executable);
    execv(executable, argv);
    code = errno;
    fprintf(stderr, "tern: %s cannot be run: %s\n", executable, strerror(code));
    return -code;
}

static int start_offline(struct control *c, const struct settings *s, struct error *err)
{
    char option[] = "--offline";
    char *argv[] = { NULL, option, NULL, NULL };
    char *spool;
    struct stat st;
    int fds[2], result = 0;

    if (s->spool.path.len == 0)
        return error_set(err, -EINVAL, "nothing runs, and the configuration has mistakes");
    argv[2] = spool = memory_copy(s->spool.path);
    if (stat(spool, &st) < 0 && errno == ENOENT)
        result = error_set(err, -ENOENT, "nothing runs, and there is no spool at %s", spool);
    else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        result = error_set(err, -errno, "no socket pair: %s", strerror(errno));
    if (result < 0) {
        free(spool);
        return result;
    }
    c->offline = fork();
    if (c->offline == 0) {
        dup2(fds[1], STDIN_FILENO);
        control_become_queue(argv);
        _exit(127);
    }
    free(spool);
    close(fds[1]);
    c->fd = fds[0];
    return c->offline < 0 ? error_set(err, -EAGAIN, "no process could be made") : 0;
}

int control_reach(struct control *c, const struct settings *s, struct error *err)
{
    *c = (struct control){ .fd = connect_to(s->control, err) };
    if (c->fd < 0)
        return c->fd;
    buf_new(&c->input, LINE_MAX_BYTES);
    return 0;
}

int control_open(struct control *c, const struct settings *s, struct error *err)
{
    if (control_reach(c, s, err) == 0)
        return 0;
    buf_new(&c->input, LINE_MAX_BYTES);
    /* Nobody listens there: nothing runs. Anything else is a trouble to be told. */
    if (c->fd != -ENOENT && c->fd != -ECONNREFUSED)
        return c->fd;
    return start_offline(c, s, err);
}

void control_close(struct control *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->offline > 0)
        waitpid(c->offline, NULL, 0);
    buf_free(&c->input);
}

bool control_put(struct buf *request, const char *key, struct view value)
{
    bool fits = buf_printf(request, " %s=", key);

    for (size_t i = 0; i < value.len; i++) {
        unsigned char b = (unsigned char)value.ptr[i];

        if (b <= ' ' || b == '%' || b == 0x7f)
            fits = buf_printf(request, "%%%02X", b) && fits;
        else
            fits = buf_put_byte(request, (char)b) && fits;
    }
    return fits;
}

bool control_write(struct control *c, struct view bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = view_from(bytes, (size_t)n);
    }
    return true;
}

/* More of what the queue says. */
static bool hear(struct control *c)
{
    size_t room;
    char *tail = buf_tail(&c->input, &room);
    ssize_t n = room > 0 ? read(c->fd, tail, room) : 0;

    if (n > 0)
        buf_extend(&c->input, (size_t)n);
    return n > 0;
}

bool control_read(struct control *c, struct view *line)
{
    buf_consume(&c->input, c->used);
    c->used = 0;
    for (;;) {
        struct view have = buf_view(&c->input);
        size_t end = view_find(have, '\n');

        if (end < have.len) {
            *line = view_sub(have, 0, end);
            c->used = end + 1;
            return true;
        }
        if (!hear(c))
            return false;
    }
}

bool control_read_bytes(struct control *c, uint64_t most, struct view *bytes)
{
    buf_consume(&c->input, c->used);
    c->used = 0;
    if (buf_len(&c->input) == 0 && !hear(c))
        return false;
    *bytes = buf_view(&c->input);
    bytes->len = (size_t)MIN(most, (uint64_t)bytes->len);
    c->used = bytes->len;
    return true;
}

/* The last line of an answer: {"end":true,"matched":N} or {"error":"..."}. */
static bool is_last(struct view line)
{
    return view_starts(line, VIEW("{\"end\":")) || view_starts(line, VIEW("{\"error\":"));
}

static int hear_last(const struct json_node *n, unsigned long long *matched)
{
    struct view error = json_text(json_get(n, "error"));

    if (error.len > 0)
        return trouble("%.*s", VIEW_ARG(error));
    if (matched != NULL)
        *matched = json_number(json_get(n, "matched"));
    return 0;
}

static void print_as_it_is(struct view line)
{
    fwrite(line.ptr, 1, line.len, stdout);
    putchar('\n');
}

int control_tell_end(const struct control *c)
{
    /* Who reads the spool has said himself why he cannot. */
    if (c->offline > 0)
        return EXIT_TROUBLE;
    return trouble("the queue ended the conversation before its answer was complete");
}

int control_converse(struct control *c, struct view request, const struct control_listener *to,
                     unsigned long long *matched)
{
    struct view line;
    bool last = false;
    int status = 0;

    if (!control_write(c, request) || !control_write(c, VIEW("\n")))
        return control_tell_end(c);
    while (!last && status == 0) {
        struct json *j;

        if (!control_read(c, &line))
            return control_tell_end(c);
        last = is_last(line);
        if (!last && to->as_it_is) {
            print_as_it_is(line);
            continue;
        }
        j = json_parse(line);
        status = last ? hear_last(json_root(j), matched) : to->hear(to->of, json_root(j));
        json_free(&j);
    }
    return status;
}

int control_call(const struct settings *s, struct view request, const struct control_listener *to,
                 unsigned long long *matched)
{
    struct control c;
    struct error why;
    int status;

    if (control_open(&c, s, &why) < 0)
        return trouble("%s", why.text);
    status = control_converse(&c, request, to, matched);
    control_close(&c);
    return status;
}
