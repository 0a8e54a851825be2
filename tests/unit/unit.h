/* What every unit test includes: cmocka with the headers that it wants before it, and
 * checks that say which case of a table failed. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "common/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Fails the test with the case's name and the condition. */
#define check(name, condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s: not so: %s (line %d)", (name), #condition, __LINE__);                    \
    } while (0)

/* Fails the test with both texts when they differ. */
static inline UNUSED void check_view(const char *name, struct view got, struct view wanted)
{
    if (!view_equal(got, wanted))
        fail_msg("%s:\n# got    [%.*s]\n# wanted [%.*s]", name, VIEW_ARG(got), VIEW_ARG(wanted));
}

/* The same numbers in every run (SplitMix64); start `state` with any number. */
static inline UNUSED uint64_t random_below(uint64_t *state, uint64_t count)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % count;
}

#endif
