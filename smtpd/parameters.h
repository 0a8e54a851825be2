/* What follows the path of MAIL and RCPT: parameters of extensions (RFC 5321, 4.1.1.11). */
#ifndef SMTPD_PARAMETERS_H
#define SMTPD_PARAMETERS_H

#include "smtpd/commands.h"
#include "smtpd/extensions.h"

struct parameter {
    struct view keyword;
    struct step (*take)(struct session *s, struct view value); /* code 0: nothing is wrong */
    enum extension of;                                         /* without it there is none */
};

/* All of them, each once; code 0 if nothing is wrong. */
struct step parameters_take(struct session *s, const struct parameter *all, size_t count,
                            struct view args);

#endif
