/* The From field: the same however it arrives, and only addresses come out. */
#include "common/memory.h"
#include "mail/from.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void collect(struct from_scan *f, struct arena *arena, struct view said, size_t most)
{
    struct fuzz_cuts cuts = fuzz_cut(said, most);
    struct view part;

    *f = (struct from_scan){ 0 };
    arena_init(arena, 2 * FROM_TEXT_MAX);
    while (fuzz_next(&cuts, &part))
        from_scan_feed(f, arena, part);
    assert(f->len <= FROM_TEXT_MAX && (f->count > 0 || f->len == 0));
}

static void take_all(struct view rest)
{
    char room[ADDRESS_MAX];
    struct buf text = BUF_ON_ARRAY(room);
    struct address a, again;
    size_t before = rest.len;

    while (from_take(&rest, &text, &a) == FROM_ADDRESS) {
        assert(rest.len < before && a.domain.len > 0);
        before = rest.len;
        assert(address_parse(buf_view(&text), true, &again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = memory_copy(view_make(bytes, len));
    struct view said = view_make(copy, len);
    struct arena a, b;
    struct from_scan whole, parts;

    collect(&whole, &a, said, len + 1);
    collect(&parts, &b, said, 3);
    assert(whole.count == parts.count && whole.cut == parts.cut);
    assert(view_equal(view_make(whole.text, whole.len), view_make(parts.text, parts.len)));
    take_all(view_make(whole.text, whole.len));
    take_all(said);
    arena_reset(&a);
    arena_reset(&b);
    free(copy);
    return 0;
}
