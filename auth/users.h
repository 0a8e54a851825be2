/* The user file in memory (io/userfile.h), read again when it has changed. */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include "common/error.h"
#include "common/table.h"
#include "io/userfile.h"

#include <sys/stat.h>

enum { USERS_LOOK_MS = 1000 }; /* at most so often it is looked whether the file has changed */

struct user { /* heap; in users.table */
    struct table_entry entry;
    struct scram_keys keys;
    bool fresh;                  /* it has logged in with the password that `proof` belongs to */
    char proof[SCRAM_KEY_BYTES]; /* of that password, by a key of this process */
    size_t login_len;
    char login[];
};

struct users {
    const char *path;
    struct table table; /* by login, without ASCII case */
    char secret[USERFILE_SECRET_BYTES];
    char process_key[SCRAM_KEY_BYTES];
    unsigned iterations; /* of those who do not exist */
    bool loaded;         /* the file could be read once */
    struct stat seen;
    uint64_t looked_ms;
    bool complained; /* of what `seen` says */
};

/* `path` must stay. */
void users_init(struct users *u, const char *path);
void users_release(struct users *u);
/* Reads the file if it has changed, and logs when that fails; what was read before stays then.
 * False: nothing was read yet. */
bool users_look(struct users *u, uint64_t now_ms);
/* Replaces all users by those in `text`; nothing changes when it is malformed, and *err says where.
 */
bool users_parse(struct users *u, struct view text, struct error *err) MUST_USE;

struct user *users_find(const struct users *u, struct view login);
/* Keys for a login that nobody has: always the same salt, and no password fits. */
void users_make_keys(const struct users *u, struct view login, struct scram_keys *out);

/* A password that was right once is recognized without the slow computation, by a hash that is
 * worth nothing outside this process. False: it is another one, or was not seen yet. */
bool users_recognize(const struct users *u, const struct user *who, struct view password) MUST_USE;
void users_remember(const struct users *u, struct user *who, struct view password);

#endif
