/* How a field is cut must not matter, and nothing of it may be lost. */
#include "mail/qualify.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { ROOM = 1 << 16 };

/* Where the domains go; returns their number. */
static size_t qualify(struct view whole, size_t most, size_t places[ROOM])
{
    static char room[ROOM];
    struct fuzz_cuts cuts = fuzz_cut(whole, most);
    struct qualify q = { .depth = 0 };
    struct view part = VIEW_EMPTY, piece;
    size_t out = 0, count = 0;
    enum qualify_step step;
    bool more = true;

    while (more) {
        more = fuzz_next(&cuts, &part);
        if (!more)
            part = VIEW_EMPTY;
        while ((step = qualify_next(&q, &part, !more, &piece)) != QUALIFY_MORE) {
            if (step == QUALIFY_HERE) {
                assert(count < whole.len);
                places[count++] = out;
                continue;
            }
            assert(piece.len <= ROOM - out);
            if (piece.len > 0)
                memcpy(room + out, piece.ptr, piece.len);
            out += piece.len;
        }
    }
    assert(out == whole.len && memcmp(room, whole.ptr, out) == 0);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static size_t places[ROOM], others[ROOM];
    struct view whole = view_make(bytes, MIN(len, (size_t)ROOM));
    size_t count, other;

    if (len == 0)
        return 0;
    count = qualify(whole, ROOM, places);
    other = qualify(whole, 3, others);
    assert(count == other && memcmp(places, others, count * sizeof(*places)) == 0);
    return 0;
}
