#include "queue/clockfile.h"

#include "tests/fuzz/fuzz.h"

/* What is taken is what would be written. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view text = view_make(bytes, len);
    struct store_clock c;
    char room[256];
    struct buf again = BUF_ON_ARRAY(room);

    if (clockfile_decode(text, &c)) {
        assert(clockfile_encode(&c, &again));
        assert(view_equal(buf_view(&again), text));
    }
    return 0;
}
