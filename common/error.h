/* Words for a person: filled once, at the lowest place that knows them. */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include "common/attrs.h"

struct error {
    char text[512]; /* one sentence, no final dot, NUL-terminated */
};

/* Cuts what does not fit. Returns `code`, so that a function can end with it. */
int error_set(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
