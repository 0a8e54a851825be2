/* A pattern, a line end, and texts of a line each: what is looked for before a pattern is run must
 * keep no match away. In a group a pattern has nothing to look for, and matches the same. */
#include "common/buf.h"
#include "mail/pattern.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { PATTERN_BYTES_MAX = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char room[PATTERN_BYTES_MAX + 8];
    struct buf group = BUF_ON_ARRAY(room);
    struct view rest = view_make(bytes, len), pattern, text;
    struct pattern *one, *same = NULL;
    struct error err;

    if (!view_take_line(&rest, &pattern) || pattern.len > PATTERN_BYTES_MAX)
        return 0;
    one = pattern_new(pattern, &err);
    if (one != NULL && buf_put(&group, VIEW("(?:")) && buf_put(&group, pattern) &&
        buf_put_byte(&group, ')'))
        same = pattern_new(buf_view(&group), &err);
    while (same != NULL && view_take_line(&rest, &text)) {
        enum pattern_result wanted = pattern_match(same, text), got = pattern_match(one, text);

        assert(wanted == PATTERN_FAILED || got == PATTERN_FAILED || wanted == got);
    }
    pattern_free(&one);
    pattern_free(&same);
    return 0;
}
