#include "queue/cache.h"

#include "tests/unit/unit.h"

static const struct view envelope =
    VIEW_INIT("from=a@a.test\nrcpt=b@b.test\nrcpt=c@c.test\narrival=1000\n");

static struct letter *make(struct view front, struct view back)
{
    struct letter *l = letter_new(envelope, front, back);

    assert_non_null(l);
    return l;
}

static void copies_envelope_and_body(void **state)
{
    struct letter *l = make(VIEW("Subject: x\r\n"), VIEW("\r\nhello\r\n"));

    (void)state;
    check_view("sender", l->envelope.sender, VIEW("a@a.test"));
    assert_int_equal(l->envelope.rcpt_count, 2);
    check_view("second", l->envelope.rcpts[1].address, VIEW("c@c.test"));
    check_view("body", l->body, VIEW("Subject: x\r\n\r\nhello\r\n"));
    check_view("encoded", l->encoded, envelope);
    letter_free(&l);
    assert_null(l);
}

static void refuses_a_malformed_envelope(void **state)
{
    (void)state;
    assert_null(letter_new(VIEW("from=a@a.test\n"), VIEW_EMPTY, VIEW("x")));
    assert_null(letter_new(VIEW(""), VIEW_EMPTY, VIEW("x")));
}

static void finds_what_it_keeps(void **state)
{
    struct cache c;

    (void)state;
    cache_init(&c, 1 << 20);
    cache_keep(&c, 7, make(VIEW("seven"), VIEW_EMPTY));
    cache_keep(&c, 8, make(VIEW("eight"), VIEW_EMPTY));
    check_view("eight", cache_find(&c, 8)->body, VIEW("eight"));
    cache_drop(&c, 8);
    cache_drop(&c, 8);
    assert_null(cache_find(&c, 8));
    check_view("seven", cache_find(&c, 7)->body, VIEW("seven"));
    cache_release(&c);
    assert_int_equal(c.bytes, 0);
}

static void drops_the_oldest_beyond_its_limit(void **state)
{
    struct cache c;
    uint64_t one;

    (void)state;
    cache_init(&c, 1 << 20);
    cache_keep(&c, 1, make(VIEW("x"), VIEW_EMPTY));
    one = c.bytes;
    cache_limit(&c, 10 * one + one / 2);
    for (uint64_t id = 2; id <= 25; id++)
        cache_keep(&c, id, make(VIEW("x"), VIEW_EMPTY));
    assert_true(c.bytes == 10 * one);
    assert_null(cache_find(&c, 15));
    assert_non_null(cache_find(&c, 16));
    cache_limit(&c, 0);
    assert_int_equal(c.bytes, 0);
    cache_keep(&c, 99, make(VIEW("x"), VIEW_EMPTY));
    assert_null(cache_find(&c, 99));
    cache_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_envelope_and_body),
        cmocka_unit_test(refuses_a_malformed_envelope),
        cmocka_unit_test(finds_what_it_keeps),
        cmocka_unit_test(drops_the_oldest_beyond_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
