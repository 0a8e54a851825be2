#include "queue/past.h"

#include "tests/fuzz/fuzz.h"

/* What was decoded and encoded again is the same record. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena arena;
    struct past p, again;
    struct buf text;

    arena_init(&arena, 1 << 20);
    buf_new(&text, 4096 + 4 * len);
    if (past_decode(view_make(bytes, len), &arena, &p)) {
        assert(past_encode(&p, &text));
        assert(past_decode(buf_view(&text), &arena, &again));
        assert(again.id == p.id && again.state == p.state && again.at_ms == p.at_ms);
        assert(view_equal(again.outcome, p.outcome));
        assert(again.envelope.rcpt_count == p.envelope.rcpt_count);
        past_means(p.id, &p.envelope, view_make(bytes, len / 2));
    }
    buf_free(&text);
    arena_reset(&arena);
    return 0;
}
