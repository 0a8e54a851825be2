#include "mail/fields.h"

#include "tests/fuzz/fuzz.h"

enum { ARENA_MAX = 1 << 20 };

/* Written and read again, any value is itself, in one line. */
static void check_value(struct view value, struct arena *arena)
{
    struct view rest, key, again;
    struct buf out;

    buf_new(&out, 8 + 3 * value.len);
    assert(fields_put(&out, "key", value));
    rest = buf_view(&out);
    assert(view_find(rest, '\n') == rest.len - 1);
    if (fields_take(&rest, arena, &key, &again) == FIELDS_NEXT)
        assert(rest.len == 0 && view_equal(key, VIEW("key")) && view_equal(value, again));
    else
        assert(value.len > ARENA_MAX / 4);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len), rest = input, key, value;
    enum fields_result result;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    while ((result = fields_take(&rest, &arena, &key, &value)) == FIELDS_NEXT) {
        assert(key.len > 0);
        check_value(value, &arena);
    }
    assert(result == FIELDS_MALFORMED || rest.len == 0);
    arena_reset(&arena);
    check_value(input, &arena);
    arena_reset(&arena);
    return 0;
}
