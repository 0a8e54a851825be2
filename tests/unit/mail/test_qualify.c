#include "mail/qualify.h"

#include "common/buf.h"
#include "tests/unit/unit.h"

/* "@!" stands where a domain goes. */
static const struct {
    const char *body, *wanted;
} cases[] = {
    { "", "" },
    { " bob\r\n", " bob@!\r\n" },
    { "bob", "bob@!" },
    { " bob@a.test\r\n", " bob@a.test\r\n" },
    { " bob, ann@a.test , carl \r\n", " bob@!, ann@a.test , carl@! \r\n" },
    { " Bob <bob>\r\n", " Bob <bob@!>\r\n" },
    { " Bob <bob>, \"Ann, x\" <ann>\r\n", " Bob <bob@!>, \"Ann, x\" <ann@!>\r\n" },
    { " \"Bob\" < bob (he) >\r\n", " \"Bob\" < bob@! (he) >\r\n" },
    { " Bob Miller <bob@a.test>\r\n", " Bob Miller <bob@a.test>\r\n" },
    { " =?utf-8?q?B=C3=B6b?= <bob>\r\n", " =?utf-8?q?B=C3=B6b?= <bob@!>\r\n" },
    { " b\xc3\xb6"
      "b\r\n",
      " b\xc3\xb6"
      "b@!\r\n" },
    { " bob.miller\r\n", " bob.miller@!\r\n" },
    { " bob (the one, \\) ann)\r\n", " bob@! (the one, \\) ann)\r\n" },
    { " (who (or what)) bob, x\r\n", " (who (or what)) bob@!, x@!\r\n" },
    { " bob\r\n (folded)\r\n , ann\r\n", " bob@!\r\n (folded)\r\n , ann@!\r\n" },
    { " bob\r\n <bob@a.test>\r\n", " bob\r\n <bob@a.test>\r\n" },
    { " bob @ a.test\r\n", " bob @ a.test\r\n" },
    { " friends: bob, <ann>;\r\n", " friends: bob@!, <ann@!>;\r\n" },
    { " friends : bob;\r\n", " friends : bob@!;\r\n" },
    { " undisclosed-recipients:;\r\n", " undisclosed-recipients:;\r\n" },
    { " <>\r\n", " <>\r\n" },
    { " <@a.test,@b.test:bob@c.test>\r\n", " <@a.test,@b.test:bob@c.test>\r\n" },
    { " bob@[192.0.2.1], ann\r\n", " bob@[192.0.2.1], ann@!\r\n" },
    { " \"bob\"\r\n", " \"bob\"\r\n" }, /* as in the envelope */
    { " \"a\\\",b\" <ann>\r\n", " \"a\\\",b\" <ann@!>\r\n" },
    { " hello world\r\n", " hello world\r\n" }, /* makes no sense */
    { " bob <ann> carl\r\n", " bob <ann@!> carl\r\n" },
    { " bob (never ends\r\n", " bob (never ends\r\n" },
    { " <bob\r\n", " <bob\r\n" },
    { " , bob,,\r\n", " , bob@!,,\r\n" },
};

static void qualify(struct qualify *q, struct view part, bool last, struct buf *out)
{
    enum qualify_step step;
    struct view piece;

    while ((step = qualify_next(q, &part, last, &piece)) != QUALIFY_MORE)
        buf_put(out, step == QUALIFY_HERE ? VIEW("@!") : piece);
}

static void finds_what_is_missing_however_it_is_cut(void **state)
{
    char room[512];
    uint64_t seed = 5;
    struct qualify q = { .depth = 0 }; /* one after the other: each begins anew */

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t most = 1; most < 40; most++) {
            struct buf out = BUF_ON_ARRAY(room);
            struct view rest = view_of(cases[i].body);

            while (rest.len > 0) {
                struct view part = view_sub(rest, 0, 1 + (size_t)random_below(&seed, most));

                rest = view_from(rest, part.len);
                qualify(&q, part, false, &out);
            }
            qualify(&q, VIEW_EMPTY, true, &out);
            check_view(cases[i].body, buf_view(&out), view_of(cases[i].wanted));
        }
    }
}

/* More than can be held behind a word: nothing is lost, and nothing is added. */
static void a_long_comment_goes_by(void **state)
{
    static char body[QUALIFY_HELD_MAX + 100], room[2 * sizeof(body)];

    (void)state;
    for (size_t len = QUALIFY_HELD_MAX - 10; len < QUALIFY_HELD_MAX + 20; len++) {
        struct buf in = BUF_ON_ARRAY(body), out = BUF_ON_ARRAY(room);
        struct qualify q = { .depth = 0 };

        buf_put(&in, VIEW("bob ("));
        while (buf_len(&in) < len + 2)
            buf_put_byte(&in, 'x');
        buf_put(&in, VIEW("),a@b"));
        qualify(&q, buf_view(&in), false, &out);
        qualify(&q, VIEW_EMPTY, true, &out);
        assert_int_equal(buf_len(&out), buf_len(&in) + (len <= QUALIFY_HELD_MAX ? 2 : 0));
        assert_true(view_ends_nocase(buf_view(&out), VIEW("x),a@b")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_missing_however_it_is_cut),
        cmocka_unit_test(a_long_comment_goes_by),
    };

    return cmocka_run_group_tests_name("mail/qualify", tests, NULL, NULL);
}
