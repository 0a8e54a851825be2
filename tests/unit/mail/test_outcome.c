#include "mail/outcome.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct outcome refused = {
    .class = OUTCOME_FAILED,
    .scope = SCOPE_RCPT,
    .code = 550,
    .enhanced = { 5, 1, 1 },
    .text = VIEW_INIT("No such user\nhere"),
    .host = VIEW_INIT("mx1.test[192.0.2.1]:25"),
    .doing = VIEW_INIT("sending RCPT TO"),
    .tls = VIEW_INIT("TLSv1.3 A 256"),
    .dsn = true,
    .final = true,
};
static const char refused_text[] =
    "class=failed\nscope=rcpt\ncode=550\nenhanced=5.1.1\ntext=No such user%0Ahere\n"
    "host=mx1.test[192.0.2.1]:25\ndoing=sending RCPT TO\ntls=TLSv1.3 A 256\ndsn=yes\n"
    "final=yes\n";

static void round_trips(void **state)
{
    struct arena arena;
    struct outcome o;
    char room[512];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(outcome_encode(&refused, &out));
    check_view("text", buf_view(&out), VIEW(refused_text));
    arena_init(&arena, 4096);
    assert_true(outcome_decode(buf_view(&out), &arena, &o));
    assert_true(o.class == OUTCOME_FAILED && o.scope == SCOPE_RCPT && o.code == 550);
    assert_true(o.enhanced.class == 5 && o.enhanced.subject == 1 && o.enhanced.detail == 1);
    check_view("text", o.text, refused.text);
    check_view("host", o.host, refused.host);
    check_view("doing", o.doing, refused.doing);
    check_view("tls", o.tls, refused.tls);
    assert_true(o.dsn);
    assert_true(o.final);
    arena_reset(&arena);
    for (size_t capacity = 0; capacity < sizeof(refused_text) - 1; capacity++) {
        out = buf_on(room, capacity);
        assert_false(outcome_encode(&refused, &out));
        assert_int_equal(buf_len(&out), 0);
    }
}

static const struct {
    const char *name, *text;
    bool good;
} cases[] = {
    { "least", "class=deferred\nscope=destination\nenhanced=4.4.1\n", true },
    { "unknown key", "class=deferred\nscope=message\nenhanced=4.4.1\nnew=1\n", true },
    { "nothing", "", false },
    { "no class", "scope=destination\nenhanced=4.4.1\n", false },
    { "no scope", "class=deferred\nenhanced=4.4.1\n", false },
    { "no enhanced code", "class=deferred\nscope=rcpt\n", false },
    { "unknown class", "class=bounced\nscope=rcpt\nenhanced=4.4.1\n", false },
    { "unknown scope", "class=failed\nscope=world\nenhanced=4.4.1\n", false },
    { "code too big", "class=failed\nscope=rcpt\nenhanced=5.0.0\ncode=600\n", false },
    { "code too small", "class=failed\nscope=rcpt\nenhanced=5.0.0\ncode=199\n", false },
    { "more than an enhanced code", "class=failed\nscope=rcpt\nenhanced=5.0.0 x\n", false },
    { "cut", "class=deferred\nscope=rcpt\nenhanced=4.4.1", false },
};

static void decides(void **state)
{
    struct arena arena;
    struct outcome o;

    (void)state;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].name, outcome_decode(view_of(cases[i].text), &arena, &o) == cases[i].good);
    arena_reset(&arena);
}

/* A text of `len` times "x" and one u umlaut, encoded and decoded again. */
static size_t kept(size_t len)
{
    static char text[2 * OUTCOME_TEXT_MAX], room[2 * OUTCOME_TEXT_MAX];
    struct buf out = BUF_ON_ARRAY(room);
    struct outcome o = refused;
    struct arena arena;

    memset(text, 'x', len);
    memcpy(text + len, "\xc3\xbc", 2);
    o.text = view_make(text, len + 2);
    arena_init(&arena, 4096);
    assert_true(outcome_encode(&o, &out));
    assert_true(outcome_decode(buf_view(&out), &arena, &o));
    arena_reset(&arena);
    return o.text.len;
}

static void cuts_between_characters(void **state)
{
    (void)state;
    assert_int_equal(kept(OUTCOME_TEXT_MAX - 2), OUTCOME_TEXT_MAX);
    assert_int_equal(kept(OUTCOME_TEXT_MAX - 1), OUTCOME_TEXT_MAX - 1);
    assert_int_equal(kept(OUTCOME_TEXT_MAX), OUTCOME_TEXT_MAX);
    assert_int_equal(kept(OUTCOME_TEXT_MAX + 1), OUTCOME_TEXT_MAX);
}

static void check_print(const char *name, const struct outcome *o, struct view wanted)
{
    char room[256];
    struct buf out = BUF_ON_ARRAY(room);

    assert_true(outcome_print(o, &out));
    check_view(name, buf_view(&out), wanted);
    out = buf_on(room, wanted.len - 1);
    assert_false(outcome_print(o, &out));
    assert_int_equal(buf_len(&out), 0);
}

static void prints(void **state)
{
    struct outcome o = { .enhanced = { 4, 4, 1 }, .text = VIEW("no answer") };

    (void)state;
    check_print(
        "reply", &refused,
        VIEW("550 5.1.1 No such user here (mx1.test[192.0.2.1]:25, while sending RCPT TO)"));
    check_print("nowhere", &o, VIEW("no answer"));
    o.doing = VIEW("connecting");
    check_print("no host", &o, VIEW("no answer (while connecting)"));
    o.host = VIEW("h");
    o.doing = VIEW("");
    check_print("no doing", &o, VIEW("no answer (h)"));
    o.text = VIEW("a\r\n\x1b[2J");
    check_print("control bytes", &o, VIEW("a   [2J (h)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(decides),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(prints),
    };

    return cmocka_run_group_tests_name("mail/outcome", tests, NULL, NULL);
}
