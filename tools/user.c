/* tern user: the user file (io/userfile.h). It is replaced as a whole, so that who reads it sees
 * the old one or the new one. */
#include "common/memory.h"
#include "io/userfile.h"
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

struct file {
    char *path;
    int lock;         /* on the folder */
    struct view text; /* what is there; empty: a new one */
    struct stat st;   /* of it */
    struct buf out;
};

/* ---- passwords ---- */

/* One line, without echo on a terminal. */
static bool read_line(const char *prompt, char *room, size_t size, size_t *len)
{
    bool asks = isatty(STDIN_FILENO) == 1;
    struct termios before, quiet;
    bool got;

    if (asks && tcgetattr(STDIN_FILENO, &before) == 0) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        fputs(prompt, stderr);
    }
    got = fgets(room, (int)size, stdin) != NULL;
    if (asks) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    *len = got ? strcspn(room, "\r\n") : 0;
    return got;
}

/* Twice from a terminal, as the first line from anything else. */
static int ask_password(char *room, size_t size, size_t *len)
{
    char again[SCRAM_PASSWORD_MAX + 2];
    size_t again_len;
    bool same = true;

    if (!read_line("Password: ", room, size, len) || *len == 0)
        return trouble("no password was given");
    if (*len > SCRAM_PASSWORD_MAX)
        return trouble("the password has more than %d bytes", SCRAM_PASSWORD_MAX);
    for (size_t i = 0; i < *len; i++) {
        if ((unsigned char)room[i] < ' ' || room[i] == 127)
            return trouble("the password has control characters");
    }
    if (isatty(STDIN_FILENO) == 1)
        same = read_line("Again: ", again, sizeof(again), &again_len) && again_len == *len &&
               memcmp(room, again, *len) == 0;
    explicit_bzero(again, sizeof(again));
    return same ? 0 : trouble("the two passwords differ");
}

static int ask_keys(struct scram_keys *keys)
{
    char room[SCRAM_PASSWORD_MAX + 2];
    size_t len = 0;
    int status = ask_password(room, sizeof(room), &len);

    if (status == 0)
        scram_make_keys(view_make(room, len), keys);
    explicit_bzero(room, sizeof(room));
    return status;
}

/* ---- the file ---- */

static int read_all(struct file *f, int fd)
{
    size_t len = 0, size = (size_t)f->st.st_size;
    char *room;
    ssize_t n;

    if (size > USERFILE_BYTES_MAX)
        return trouble("%s is larger than %d bytes", f->path, USERFILE_BYTES_MAX);
    room = memory_new(size + 1);
    while (len < size && (n = read(fd, room + len, size - len)) > 0)
        len += (size_t)n;
    f->text = view_make(room, len);
    return len == size ? 0 : trouble("%s cannot be read to its end", f->path);
}

/* The folder is locked, not the file, which is replaced. */
static int open_file(struct file *f, const struct settings *s, bool change)
{
    char *slash;
    int fd, status = 0;

    *f = (struct file){ .lock = -1 };
    if (s->auth.users.len == 0)
        return trouble("the configuration names no user file: set auth.users");
    f->path = memory_copy(s->auth.users);
    slash = strrchr(f->path, '/');
    *slash = '\0';
    f->lock = open(slash == f->path ? "/" : f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0)
        return trouble("%s: %s", f->path, strerror(errno));
    *slash = '/';
    if (change && flock(f->lock, LOCK_EX) < 0)
        return trouble("%s cannot be locked: %s", f->path, strerror(errno));
    fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && change ? 0 : trouble("%s: %s", f->path, strerror(errno));
    if (fstat(fd, &f->st) < 0)
        status = trouble("%s: %s", f->path, strerror(errno));
    else
        status = read_all(f, fd);
    close(fd);
    return status;
}

static void close_file(struct file *f)
{
    if (f->lock >= 0)
        close(f->lock);
    free(f->path);
    free((char *)(uintptr_t)f->text.ptr);
    buf_free(&f->out);
}

/* Readable for the process that checks logins, and for nobody else. A file that is there keeps its
 * owner and its mode. */
static bool give_away(const struct file *f, const struct settings *s, int fd)
{
    char *name;
    const struct passwd *pw;

    if (f->text.ptr != NULL)
        return fchown(fd, f->st.st_uid, f->st.st_gid) == 0 || geteuid() != 0
                   ? fchmod(fd, f->st.st_mode & 0777) == 0
                   : false;
    if (geteuid() != 0)
        return true;
    name = memory_copy(s->users.auth);
    pw = getpwnam(name);
    free(name);
    return pw == NULL || (fchown(fd, 0, pw->pw_gid) == 0 && fchmod(fd, 0640) == 0);
}

static bool write_all(int fd, struct view bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = view_from(bytes, (size_t)n);
    }
    return true;
}

static int replace(struct file *f, const struct settings *s)
{
    size_t size = strlen(f->path) + sizeof(".new");
    char *name = memory_new(size);
    int fd, status = 0;

    (void)snprintf(name, size, "%s.new", f->path);
    (void)unlink(name); /* of somebody who was killed: the folder is locked */
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || !give_away(f, s, fd) || !write_all(fd, buf_view(&f->out)) || fsync(fd) < 0 ||
        rename(name, f->path) < 0 || fsync(f->lock) < 0)
        status = trouble("%s cannot be written: %s", f->path, strerror(errno));
    if (status != 0 && fd >= 0)
        (void)unlink(name);
    if (fd >= 0)
        close(fd);
    free(name);
    return status;
}

/* ---- the commands ---- */

enum change { ADD, CHANGE, REMOVE };

static int begin_new(struct file *f)
{
    char secret[USERFILE_SECRET_BYTES];

    scram_random(secret, sizeof(secret));
    return userfile_put_head(view_make(secret, sizeof(secret)), &f->out) ? 0
                                                                         : trouble("out of room");
}

/* Copies all users but `login`; *found: it was there. */
static int copy_others(struct file *f, struct view login, bool *found)
{
    struct view rest = f->text, one;
    struct scram_keys keys;
    char secret[USERFILE_SECRET_BYTES];
    enum userfile_result result;
    unsigned line = 2;

    *found = false;
    if (f->text.ptr == NULL)
        return begin_new(f);
    if (!userfile_take_head(&rest, secret))
        return trouble("%s: this is no user file of Tern", f->path);
    if (!userfile_put_head(view_make(secret, sizeof(secret)), &f->out))
        return trouble("out of room");
    for (; (result = userfile_take_user(&rest, &one, &keys)) == USERFILE_USER; line++) {
        if (view_equal_nocase(one, login))
            *found = true;
        else if (!userfile_put_user(one, &keys, &f->out))
            return trouble("out of room");
    }
    return result == USERFILE_END ? 0 : trouble("%s:%u: not understood", f->path, line);
}

static int change_user(struct file *f, const struct settings *s, struct view login,
                       enum change change)
{
    struct scram_keys keys;
    bool found;
    int status;

    buf_new(&f->out, f->text.len + USERFILE_LOGIN_MAX + 2 * SCRAM_TEXT_MAX);
    status = copy_others(f, login, &found);
    if (status != 0)
        return status;
    if (found && change == ADD)
        return trouble("%.*s is there already: \"tern user passwd\" sets another password",
                       VIEW_ARG(login));
    if (!found && change != ADD)
        return trouble("there is no user %.*s", VIEW_ARG(login));
    if (change != REMOVE) {
        status = ask_keys(&keys);
        if (status != 0)
            return status;
        if (!userfile_put_user(login, &keys, &f->out))
            return trouble("out of room");
    }
    return replace(f, s);
}

static int list_users(const struct file *f)
{
    struct view rest = f->text, login;
    struct scram_keys keys;
    char secret[USERFILE_SECRET_BYTES];
    enum userfile_result result = USERFILE_MALFORMED;

    if (userfile_take_head(&rest, secret)) {
        while ((result = userfile_take_user(&rest, &login, &keys)) == USERFILE_USER) {
            print_safe(login);
            putchar('\n');
        }
    }
    return result == USERFILE_END ? EXIT_SUCCESS
                                  : trouble("%s: this is no user file of Tern", f->path);
}

int command_user(const struct invocation *in)
{
    static const char *const changes[] = {
        [ADD] = "add", [CHANGE] = "passwd", [REMOVE] = "remove"
    };
    bool lists = strcmp(in->name, "list") == 0;
    unsigned change = 0;
    struct file f;
    int status;

    while (change < COUNT_OF(changes) && strcmp(in->name, changes[change]) != 0)
        change++;
    if (in->argc != (lists ? 1 : 2))
        return wrong_use(lists ? "all users are listed" : "%s which login?", in->name);
    if (!lists && !userfile_login_valid(view_of(in->argv[1])))
        return trouble("a login is UTF-8 without blanks, at most %d bytes", USERFILE_LOGIN_MAX);
    scram_load();
    status = open_file(&f, in->settings, !lists);
    if (status == 0)
        status = lists ? list_users(&f)
                       : change_user(&f, in->settings, view_of(in->argv[1]), (enum change)change);
    close_file(&f);
    return status;
}
