#include "mail/outcome.h"

#include "mail/bounce.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_MAX = 1 << 18 };

static void check_print(const struct outcome *o)
{
    struct buf line;
    struct view v;

    buf_new(&line, 64 + o->text.len + o->host.len + o->doing.len);
    assert(outcome_print(o, &line));
    v = buf_view(&line);
    for (size_t i = 0; i < v.len; i++)
        assert((unsigned char)v.ptr[i] >= 32 && v.ptr[i] != 127);
    buf_free(&line);
}

/* A notice about any outcome fits its room, and has only short lines of printable ASCII. */
static void check_bounce(const struct outcome *o, struct view header)
{
    const struct envelope e = { .sender = VIEW("a@b.test") };
    const struct bounce_rcpt rcpt = { .address = VIEW("c@d.test"), .outcome = o };
    const struct bounce b = { .envelope = &e,
                              .message_id = VIEW("1"),
                              .header = header,
                              .rcpts = &rcpt,
                              .rcpt_count = 1,
                              .hostname = VIEW("here.test") };
    struct buf out;
    struct view rest, line;

    buf_new(&out, bounce_room(&b));
    assert(bounce_write(&b, &out));
    rest = buf_view(&out);
    while (rest.len > 0) {
        size_t end = view_find_view(rest, VIEW("\r\n"));

        assert(end < rest.len && end <= 998);
        line = view_sub(rest, 0, end);
        assert(!view_has(line, '\n') && !view_has(line, '\r') && !view_has(line, '\0'));
        rest = view_from(rest, end + 2);
    }
    buf_free(&out);
}

/* What was decoded and encoded again is stable. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len);
    struct outcome o, again;
    struct buf first, second;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    buf_new(&first, 128 + 3 * len);
    buf_new(&second, 128 + 3 * len);
    if (outcome_decode(input, &arena, &o)) {
        assert(outcome_encode(&o, &first));
        if (outcome_decode(buf_view(&first), &arena, &again)) {
            assert(outcome_encode(&again, &second));
            assert(view_equal(buf_view(&first), buf_view(&second)));
        } else {
            assert(arena.used > ARENA_MAX / 8);
        }
        check_print(&o);
        check_bounce(&o, input);
    }
    arena_reset(&arena);
    buf_free(&first);
    buf_free(&second);
    return 0;
}
