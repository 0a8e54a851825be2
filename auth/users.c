#include "auth/users.h"

#include "common/memory.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void users_init(struct users *u, const char *path)
{
    *u = (struct users){ .path = path, .iterations = SCRAM_ITERATIONS };
    table_init(&u->table, true);
    scram_random(u->process_key, sizeof(u->process_key));
    scram_random(u->secret, sizeof(u->secret));
}

static void release_table(struct table *t)
{
    struct table_entry *e = table_next(t, NULL);

    while (e != NULL) {
        struct user *who = container_of(e, struct user, entry);

        e = table_next(t, e);
        table_remove(t, &who->entry);
        explicit_bzero(who, sizeof(*who));
        free(who);
    }
    table_release(t);
}

void users_release(struct users *u)
{
    release_table(&u->table);
}

struct user *users_find(const struct users *u, struct view login)
{
    struct table_entry *e = table_find(&u->table, login);

    return e == NULL ? NULL : container_of(e, struct user, entry);
}

/* Who has kept the password does not have to prove it anew. */
static void add_user(const struct users *u, struct table *t, struct view login,
                     const struct scram_keys *keys)
{
    const struct user *before = users_find(u, login);
    struct user *who = memory_new(sizeof(*who) + login.len);

    who->keys = *keys;
    if (before != NULL && memcmp(&before->keys, keys, sizeof(*keys)) == 0) {
        who->fresh = before->fresh;
        memcpy(who->proof, before->proof, sizeof(who->proof));
    }
    memcpy(who->login, login.ptr, login.len);
    who->login_len = login.len;
    table_add(t, &who->entry, view_make(who->login, who->login_len));
}

bool users_parse(struct users *u, struct view text, struct error *err)
{
    char secret[USERFILE_SECRET_BYTES];
    enum userfile_result result = USERFILE_MALFORMED;
    unsigned line = 1, iterations = 0;
    struct table table;
    struct view login;
    struct scram_keys keys;

    table_init(&table, true);
    if (userfile_take_head(&text, secret)) {
        for (line = 2; (result = userfile_take_user(&text, &login, &keys)) == USERFILE_USER;
             line++) {
            if (table_find(&table, login) != NULL) {
                result = USERFILE_MALFORMED;
                break;
            }
            if (iterations == 0)
                iterations = keys.iterations;
            add_user(u, &table, login, &keys);
        }
    }
    if (result == USERFILE_MALFORMED) {
        release_table(&table);
        error_set(err, 0, "line %u makes no sense: \"tern user\" writes this file", line);
        return false;
    }
    release_table(&u->table);
    u->table = table;
    u->iterations = iterations != 0 ? iterations : SCRAM_ITERATIONS;
    u->loaded = true;
    memcpy(u->secret, secret, sizeof(secret));
    return true;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* 0 or a negative errno with words. */
static int read_file(struct users *u, int fd, size_t size, struct error *err)
{
    char *room;
    size_t len = 0;
    ssize_t n;
    int result = 0;

    if (size > USERFILE_BYTES_MAX)
        return error_set(err, -EFBIG, "it is larger than %d bytes", USERFILE_BYTES_MAX);
    room = memory_new(size + 1);
    while (len < size && (n = pread(fd, room + len, size - len, (off_t)len)) > 0)
        len += (size_t)n;
    if (!users_parse(u, view_make(room, len), err))
        result = -EINVAL;
    explicit_bzero(room, len);
    free(room);
    return result;
}

/* The file is looked at by its path: it is replaced as a whole, never written to. */
static int read_changed(struct users *u, struct error *err)
{
    struct stat now = { 0 };
    int fd = open(u->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result;

    if (fd < 0 || fstat(fd, &now) < 0) {
        result = error_set(err, -errno, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        /* Said once, as for a file of that kind. */
        if (!is_same(&now, &u->seen))
            u->complained = false;
        u->seen = now;
        return result;
    }
    if (is_same(&now, &u->seen)) {
        close(fd);
        return 0;
    }
    u->seen = now;
    u->complained = false;
    result = read_file(u, fd, (size_t)now.st_size, err);
    close(fd);
    if (result == 0)
        log_info("users_read", LOG_STRING("path", u->path), LOG_U64("users", u->table.count));
    return result;
}

bool users_look(struct users *u, uint64_t now_ms)
{
    struct error why = { "" };

    if (u->looked_ms != 0 && now_ms - u->looked_ms < USERS_LOOK_MS)
        return u->loaded;
    u->looked_ms = MAX(now_ms, 1);
    if (read_changed(u, &why) < 0 && !u->complained) {
        log_error("users_unreadable", LOG_STRING("path", u->path), LOG_STRING("reason", why.text));
        u->complained = true;
    }
    return u->loaded;
}

void users_make_keys(const struct users *u, struct view login, struct scram_keys *out)
{
    char key[SCRAM_KEY_BYTES];
    char room[USERFILE_LOGIN_MAX];
    size_t len = MIN(login.len, sizeof(room));

    /* One login, one salt, however it is written. */
    for (size_t i = 0; i < len; i++)
        room[i] = byte_lower(login.ptr[i]);
    scram_hmac(view_make(u->secret, sizeof(u->secret)), view_make(room, len), key);
    *out = (struct scram_keys){ .iterations = u->iterations, .salt_len = SCRAM_SALT_BYTES };
    memcpy(out->salt, key, SCRAM_SALT_BYTES);
    scram_random(out->stored, sizeof(out->stored));
    scram_random(out->server, sizeof(out->server));
}

static void prove(const struct users *u, const struct user *who, struct view password, char *out)
{
    char key[SCRAM_KEY_BYTES];

    scram_hmac(view_make(u->process_key, sizeof(u->process_key)),
               view_make(who->login, who->login_len), key);
    scram_hmac(view_make(key, sizeof(key)), password, out);
    explicit_bzero(key, sizeof(key));
}

bool users_recognize(const struct users *u, const struct user *who, struct view password)
{
    char proof[SCRAM_KEY_BYTES];

    prove(u, who, password, proof);
    return who->fresh &&
           scram_equal(view_make(proof, sizeof(proof)), view_make(who->proof, sizeof(who->proof)));
}

void users_remember(const struct users *u, struct user *who, struct view password)
{
    prove(u, who, password, who->proof);
    who->fresh = true;
}
