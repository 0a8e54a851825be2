/* Attributes and small macros that the compiler should know of. */
#ifndef COMMON_ATTRS_H
#define COMMON_ATTRS_H

#include <stddef.h>

#define MUST_USE              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define NORETURN              __attribute__((noreturn))
#define UNUSED                __attribute__((unused))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The object of `type` whose `member` is at `ptr`. */
#define container_of(ptr, type, member)                                                            \
    ((type *)(void *)((char *)(void *)(ptr) - offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
