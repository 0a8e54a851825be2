/* The store of the tests for what lies above it. */
#include "tests/unit/queue/conformance.h"
#include "tests/unit/queue/memory_store.h"

static void make(struct store_options *o)
{
    *o = (struct store_options){ .path = "/nowhere", .big_body_bytes = 256 << 10 };
}

static void remove_all(const struct store_options *o)
{
    (void)o;
    memory_store_forget();
}

const struct conformance conformance = { make, remove_all };
