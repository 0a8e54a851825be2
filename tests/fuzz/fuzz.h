/* What the fuzz targets share. A target checks what must hold for every input, with assert(). */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "common/view.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* How `whole` is cut into parts, the same way for the same bytes. */
struct fuzz_cuts {
    struct view rest;
    uint64_t state;
    size_t most; /* bytes of a part */
};

static inline UNUSED struct fuzz_cuts fuzz_cut(struct view whole, size_t most)
{
    struct fuzz_cuts c = { whole, 0xcbf29ce484222325, most };

    for (size_t i = 0; i < whole.len; i++)
        c.state = (c.state ^ (unsigned char)whole.ptr[i]) * 0x100000001b3;
    return c;
}

/* The next part, 1 to `most` bytes; false when there is nothing left. */
static inline UNUSED bool fuzz_next(struct fuzz_cuts *c, struct view *part)
{
    if (c->rest.len == 0)
        return false;
    c->state = c->state * 6364136223846793005 + 1442695040888963407;
    *part = view_sub(c->rest, 0, 1 + (size_t)(c->state >> 33) % c->most);
    c->rest = view_from(c->rest, part->len);
    return true;
}

#endif
