#include "queue/attempts.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static char rooms[2][ATTEMPTS_BYTES_MAX];

static struct view put(unsigned n, struct view before, uint64_t before_ms, size_t size)
{
    static char text[OUTCOME_TEXT_MAX + 64], encoded[8192];
    struct buf outcome = BUF_ON_ARRAY(encoded), out = buf_on(rooms[n % 2], size);
    struct outcome o = { .class = OUTCOME_DEFERRED,
                         .scope = SCOPE_MESSAGE,
                         .code = 450,
                         .enhanced = { 4, 2, (uint16_t)n },
                         .host = VIEW_INIT("mx.test[192.0.2.1]:25") };

    (void)snprintf(text, sizeof(text), "50%% full\nreally, %u", n);
    o.text = view_of(text);
    assert_true(outcome_encode(&o, &outcome));
    attempts_put(buf_view(&outcome), n, before, before_ms, &out);
    return buf_view(&out);
}

static void keeps_some(void **state)
{
    struct view text = VIEW_EMPTY;
    struct arena arena;
    struct outcome o;
    struct attempt a;

    (void)state;
    for (unsigned n = 1; n <= 20; n++)
        text = put(n, text, 1000 + n - 1, ATTEMPTS_BYTES_MAX);
    arena_init(&arena, ATTEMPTS_ARENA_MAX);
    assert_true(outcome_decode(text, &arena, &o)); /* who knows of no attempts reads it too */
    assert_int_equal(o.enhanced.detail, 20);
    for (unsigned n = 20; n >= 15; n--) {
        char words[64];

        assert_true(attempts_take(&text, &arena, &a));
        (void)snprintf(words, sizeof(words), "50%% full\nreally, %u", n);
        check_view("text", a.outcome.text, view_of(words));
        assert_int_equal(a.outcome.enhanced.detail, n);
        assert_int_equal(a.duration_ms, n);
        assert_int_equal(a.at_ms, n == 20 ? 0 : 1000 + n);
    }
    assert_false(attempts_take(&text, &arena, &a));
    arena_reset(&arena);
}

/* What has no room is left out, whole. */
static void is_bounded(void **state)
{
    for (size_t size = 0; size < 800; size++) {
        struct view text = VIEW_EMPTY;
        struct arena arena;
        struct attempt a;

        for (unsigned n = 1; n <= 8; n++)
            text = put(n, text, n, size);
        arena_init(&arena, ATTEMPTS_ARENA_MAX);
        while (text.len > 0 && attempts_take(&text, &arena, &a))
            assert_int_equal(a.outcome.code, 450);
        assert_true(text.len == 0 || size < 200);
        arena_reset(&arena);
    }
    (void)state;
}

static void passes_damage_over(void **state)
{
    struct view text = VIEW("class=nonsense\npast=x\n");
    struct arena arena;
    struct attempt a;

    (void)state;
    arena_init(&arena, ATTEMPTS_ARENA_MAX);
    assert_false(attempts_take(&text, &arena, &a));
    assert_false(attempts_take(&text, &arena, &a));
    text = VIEW("past=");
    assert_false(attempts_take(&text, &arena, &a));
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_some),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(passes_damage_over),
    };

    return cmocka_run_group_tests_name("attempts", tests, NULL, NULL);
}
