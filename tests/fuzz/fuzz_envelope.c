#include "mail/envelope.h"

#include "mail/trace.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_MAX = 1 << 18 };

/* The Received field of any envelope is folded, and nothing else begins a line. */
static void check_received(const struct envelope *e)
{
    char room[4096];
    struct buf out = BUF_ON_ARRAY(room);
    struct view rest, line;
    size_t count = 0;

    if (!trace_received(e, VIEW("mx.here.test"), &out))
        return;
    rest = buf_view(&out);
    while (view_take_line(&rest, &line)) {
        assert(line.len <= 998 && line.len > 0);
        assert(count == 0 || line.ptr[0] == '\t');
        count++;
    }
    assert(count <= 3);
}

/* What was decoded and encoded again is stable. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct envelope e, again;
    struct buf first, second;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    buf_new(&first, 64 + 3 * len);
    buf_new(&second, 64 + 3 * len);
    if (envelope_decode(view_make(bytes, len), &arena, &e)) {
        assert(e.rcpt_count > 0 && e.rcpt_count <= ENVELOPE_RCPTS_MAX);
        assert(envelope_encode(&e, &first));
        if (envelope_decode(buf_view(&first), &arena, &again)) {
            assert(again.rcpt_count == e.rcpt_count && again.arrival_ms == e.arrival_ms);
            assert(envelope_encode(&again, &second));
            assert(view_equal(buf_view(&first), buf_view(&second)));
        } else {
            assert(arena.used > ARENA_MAX / 8);
        }
        check_received(&e);
    }
    arena_reset(&arena);
    buf_free(&first);
    buf_free(&second);
    return 0;
}
