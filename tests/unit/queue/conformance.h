/* What any store must do, as queue/store.h promises it: conformance.c is a test program that speaks
 * to that interface alone. A store is proven by linking it with that and one of these. */
#ifndef TESTS_UNIT_QUEUE_CONFORMANCE_H
#define TESTS_UNIT_QUEUE_CONFORMANCE_H

#include "queue/store.h"

struct conformance {
    /* Fills in what store_open needs for a store with nothing in it. */
    void (*make)(struct store_options *o);
    /* Closed before; nothing of it may stay. */
    void (*remove)(const struct store_options *o);
};

extern const struct conformance conformance;

#endif
