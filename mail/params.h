/* ESMTP parameters of MAIL and RCPT (RFC 5321, 4.1.2). */
#ifndef MAIL_PARAMS_H
#define MAIL_PARAMS_H

#include "common/view.h"

struct param {
    struct view keyword; /* compare without case */
    struct view value;   /* empty when there was no "=" */
    bool has_value;
};

enum params_result { PARAMS_NEXT, PARAMS_END, PARAMS_MALFORMED };

/* esmtp-param = esmtp-keyword ["=" esmtp-value], the next one from the front of *rest,
 * which may start with spaces. */
enum params_result params_take(struct view *rest, struct param *out) MUST_USE;

#endif
