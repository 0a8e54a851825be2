#include "mail/completion.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { ROOM = 1 << 16 };

/* Where the header ends, and what is in it; the content goes by unchanged. */
static struct completion complete(struct view whole, size_t most, size_t *here)
{
    static char room[ROOM];
    struct fuzz_cuts cuts = fuzz_cut(whole, most);
    struct completion c = { .state = 0 };
    enum completion_step step;
    struct view part, piece;
    size_t out = 0;

    *here = whole.len;
    while (fuzz_next(&cuts, &part)) {
        while ((step = completion_next(&c, &part, &piece)) != COMPLETION_MORE) {
            if (step == COMPLETION_HERE) {
                assert(*here == whole.len);
                *here = out;
                continue;
            }
            assert(piece.len <= ROOM - out);
            memcpy(room + out, piece.ptr, piece.len);
            out += piece.len;
        }
    }
    assert(out + c.held_len == whole.len && memcmp(room, whole.ptr, out) == 0);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view whole = view_make(bytes, MIN(len, (size_t)ROOM));
    size_t here, other_here;
    struct completion c = complete(whole, ROOM, &here);
    struct completion other = complete(whole, 3, &other_here);

    assert(c.ended == other.ended && here == other_here && c.no_blank == other.no_blank);
    assert(c.date == other.date && c.message_id == other.message_id);
    return 0;
}
