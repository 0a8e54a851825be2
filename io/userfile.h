/* The user file: who may log in. Lines of "LOGIN KEYS", separated by a blank; the keys are those of
 * io/scram.h. The first line is "tern-users-1 SECRET", of which the salts are made that users get
 * who do not exist: they stay the same, as those of real ones do. */
#ifndef IO_USERFILE_H
#define IO_USERFILE_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/view.h"
#include "io/scram.h"

enum {
    USERFILE_LOGIN_MAX = 255, /* bytes */
    USERFILE_SECRET_BYTES = 32,
    USERFILE_BYTES_MAX = 64 << 20, /* more than 300,000 users */
};

/* UTF-8, not empty, no blanks and no control characters. */
bool userfile_login_valid(struct view login) MUST_USE;

bool userfile_put_head(struct view secret, struct buf *out) MUST_USE;
bool userfile_put_user(struct view login, const struct scram_keys *keys, struct buf *out) MUST_USE;

/* The first line. `secret` has USERFILE_SECRET_BYTES. */
bool userfile_take_head(struct view *rest, char *secret) MUST_USE;
enum userfile_result { USERFILE_USER, USERFILE_END, USERFILE_MALFORMED };
/* The next line; login borrows from *rest. */
enum userfile_result userfile_take_user(struct view *rest, struct view *login,
                                        struct scram_keys *keys) MUST_USE;

#endif
