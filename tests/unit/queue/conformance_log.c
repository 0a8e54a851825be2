/* The segment log, in a folder of its own. */
#include "tests/unit/queue/conformance.h"
#include "tests/unit/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static char path[64];

static void make(struct store_options *o)
{
    snprintf(path, sizeof(path), "/tmp/tern-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    *o = (struct store_options){
        .path = path, .segment_bytes = 1 << 20, .big_body_bytes = 256 << 10, .reserve_bytes = 0
    };
}

static int remove_one(const char *name, const struct stat *facts, int kind, struct FTW *walk)
{
    (void)facts, (void)kind, (void)walk;
    return remove(name);
}

static void remove_all(const struct store_options *o)
{
    nftw(o->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const struct conformance conformance = { make, remove_all };
