#include "mail/reply.h"

#include "tests/unit/unit.h"

#include <string.h>

/* Each reply as "code enhanced|text|", "!" when malformed, "..." when more is wanted. */
static const struct {
    const char *name;
    struct view input;
    const char *wanted;
} cases[] = {
    { "one line", VIEW_INIT("250 OK\r\n"), "250 |OK|..." },
    { "enhanced code", VIEW_INIT("250 2.1.0 Sender ok\r\n"), "250 2.1.0|Sender ok|..." },
    { "only an enhanced code", VIEW_INIT("550 5.1.1\r\n"), "550 5.1.1||..." },
    { "code alone", VIEW_INIT("250\r\n"), "250 ||..." },
    { "code and a blank", VIEW_INIT("250 \r\n"), "250 ||..." },
    { "lines", VIEW_INIT("250-mx.test\r\n250-SIZE 100\r\n250 PIPELINING\r\n"),
      "250 |mx.test\nSIZE 100\nPIPELINING|..." },
    { "empty first line", VIEW_INIT("250-\r\n250 x\r\n"), "250 |\nx|..." },
    { "enhanced code on each line", VIEW_INIT("550-5.7.1 No\r\n550 5.7.1 way\r\n"),
      "550 5.7.1|No\nway|..." },
    { "another enhanced code stays", VIEW_INIT("550-5.7.1 No\r\n550 5.7.2 way\r\n"),
      "550 5.7.1|No\n5.7.2 way|..." },
    { "enhanced code only later", VIEW_INIT("550-No\r\n550 5.7.1 way\r\n"),
      "550 |No\n5.7.1 way|..." },
    { "enhanced code of another class", VIEW_INIT("550 4.2.1 odd\r\n"), "550 |4.2.1 odd|..." },
    { "version number", VIEW_INIT("220 2.1.0.5 server\r\n"), "220 |2.1.0.5 server|..." },
    { "two replies", VIEW_INIT("250 a\r\n354 b\r\n"), "250 |a|354 |b|..." },
    { "the code is forgotten", VIEW_INIT("250 2.0.0 a\r\n354 b\r\n"), "250 2.0.0|a|354 |b|..." },
    { "text is not kept", VIEW_INIT("250-a\r\n250 b\r\n550 c\r\n"), "250 |a\nb|550 |c|..." },
    { "tab and octets above 127", VIEW_INIT("250 a\tb\xc3\xbc\r\n"), "250 |a\tb\xc3\xbc|..." },
    { "half a line", VIEW_INIT("250 O"), "..." },
    { "half a reply", VIEW_INIT("250-O\r\n"), "..." },
    { "bare LF", VIEW_INIT("250-a\n250 OK\n"), "250 |a\nOK|..." },
    { "LF alone", VIEW_INIT("\n"), "!" },
    { "LF in a line makes two", VIEW_INIT("250 O\nK\r\n"), "250 |O|!" },
    { "bare CR", VIEW_INIT("250 O\rK\r\n"), "!" },
    { "two CR", VIEW_INIT("250 OK\r\r\n"), "!" },
    { "NUL", VIEW_INIT("250 O\0K\r\n"), "!" },
    { "mixed codes", VIEW_INIT("250-a\r\n550 b\r\n"), "!" },
    { "garbage between lines", VIEW_INIT("250-a\r\nhello\r\n250 b\r\n"), "!" },
    { "garbage first", VIEW_INIT("hello\r\n250 b\r\n"), "!" },
    { "empty line", VIEW_INIT("\r\n"), "!" },
    { "two digits", VIEW_INIT("25 OK\r\n"), "!" },
    { "four digits", VIEW_INIT("2500 OK\r\n"), "!" },
    { "1yz", VIEW_INIT("150 OK\r\n"), "!" },
    { "6yz", VIEW_INIT("650 OK\r\n"), "!" },
    { "x7z", VIEW_INIT("571 5.7.1 blocked\r\n"), "571 5.7.1|blocked|..." },
    { "x9z", VIEW_INIT("299 OK\r\n"), "299 |OK|..." },
    { "9yz", VIEW_INIT("999 OK\r\n"), "!" },
    { "letters", VIEW_INIT("2a0 OK\r\n"), "!" },
    { "blank first", VIEW_INIT(" 250 OK\r\n"), "!" },
    { "tab for the blank", VIEW_INIT("250\tOK\r\n"), "!" },
    { "no digits", VIEW_INIT("-OK\r\n"), "!" },
};

/* Feeds input in pieces of at most `most` bytes, at random lengths if asked. */
static void feed(struct view input, size_t most, uint64_t *seed, struct buf *got)
{
    enum reply_status status = REPLY_MORE;
    struct reply_parser p;
    struct reply r;

    reply_start(&p);
    while (input.len > 0 && status != REPLY_MALFORMED) {
        size_t len = seed == NULL ? most : 1 + (size_t)random_below(seed, most);
        struct view piece = view_sub(input, 0, len);

        input = view_from(input, len);
        do {
            status = reply_feed(&p, &piece, &r);
            if (status == REPLY_READY) {
                buf_printf(got, "%u ", r.code);
                enhanced_print(r.enhanced, got);
                buf_printf(got, "|%.*s|", VIEW_ARG(r.text));
            }
        } while (status == REPLY_READY);
    }
    buf_put(got, status == REPLY_MALFORMED ? VIEW("!") : VIEW("..."));
}

static void reads_replies(void **state)
{
    uint64_t seed = 1;
    char room[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf got = BUF_ON_ARRAY(room);

        feed(cases[i].input, SIZE_MAX, NULL, &got);
        check_view(cases[i].name, buf_view(&got), view_of(cases[i].wanted));
        buf_clear(&got);
        feed(cases[i].input, 1, NULL, &got);
        check_view(cases[i].name, buf_view(&got), view_of(cases[i].wanted));
        for (int round = 0; round < 20; round++) {
            buf_clear(&got);
            feed(cases[i].input, 9, &seed, &got);
            check_view(cases[i].name, buf_view(&got), view_of(cases[i].wanted));
        }
    }
}

/* `lines` lines with `text_len` bytes of text each. */
static enum reply_status feed_lines(struct reply_parser *p, size_t lines, size_t text_len,
                                    struct reply *r)
{
    static char line[REPLY_LINE_MAX + 16];
    enum reply_status status = REPLY_MORE;

    memset(line, 'x', sizeof(line));
    memcpy(line, "250-", 4);
    memcpy(line + 4 + text_len, "\r\n", 2);
    reply_start(p);
    for (size_t i = 0; i < lines && status == REPLY_MORE; i++) {
        struct view input = view_make(line, text_len + 6);

        if (i + 1 == lines)
            line[3] = ' ';
        status = reply_feed(p, &input, r);
    }
    return status;
}

static void keeps_limits(void **state)
{
    struct reply_parser p;
    struct reply r;

    (void)state;
    assert_int_equal(feed_lines(&p, REPLY_LINES_MAX, 1, &r), REPLY_READY);
    assert_int_equal(feed_lines(&p, REPLY_LINES_MAX + 1, 1, &r), REPLY_MALFORMED);
    assert_int_equal(feed_lines(&p, 1, REPLY_LINE_MAX - 6, &r), REPLY_READY);
    assert_int_equal(r.text.len, REPLY_LINE_MAX - 6);
    assert_int_equal(feed_lines(&p, 1, REPLY_LINE_MAX - 5, &r), REPLY_MALFORMED);
    assert_int_equal(feed_lines(&p, 3, REPLY_LINE_MAX - 6, &r), REPLY_READY);
    assert_int_equal(r.text.len, REPLY_TEXT_MAX);
}

static const struct {
    const char *text;
    bool good;
    struct enhanced code;
} codes[] = {
    { "2.0.0", true, { 2, 0, 0 } },         { "5.1.1 No", true, { 5, 1, 1 } },
    { "4.999.999", true, { 4, 999, 999 } }, { "5.1.1000", false, { 0, 0, 0 } },
    { "3.1.1", false, { 0, 0, 0 } },        { "5.1", false, { 0, 0, 0 } },
    { "5.1.", false, { 0, 0, 0 } },         { "5..1", false, { 0, 0, 0 } },
    { "5.1.1.1", false, { 0, 0, 0 } },      { "5.1.1x", false, { 0, 0, 0 } },
    { "5.01.1", false, { 0, 0, 0 } },       { "", false, { 0, 0, 0 } },
    { "55.1.1", false, { 0, 0, 0 } },
};

static void reads_enhanced_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct enhanced e = { .class = 0 };
        struct view text = view_of(codes[i].text);

        check(codes[i].text, enhanced_take(&text, &e) == codes[i].good);
        check(codes[i].text, e.class == codes[i].code.class && e.subject == codes[i].code.subject &&
                                 e.detail == codes[i].code.detail);
        if (!codes[i].good)
            check_view(codes[i].text, text, view_of(codes[i].text));
    }
}

static const struct {
    const char *name;
    unsigned code;
    const char *enhanced;
    struct view text;
    const char *wanted;
} printed[] = {
    { "one line", 250, "2.1.0", VIEW_INIT("Sender ok"), "250 2.1.0 Sender ok\r\n" },
    { "no enhanced code", 354, NULL, VIEW_INIT("Go on"), "354 Go on\r\n" },
    { "lines", 250, NULL, VIEW_INIT("mx.test\nSIZE 1\nX"),
      "250-mx.test\r\n250-SIZE 1\r\n250 X\r\n" },
    { "lines, enhanced", 550, "5.7.1", VIEW_INIT("a\nb"), "550-5.7.1 a\r\n550 5.7.1 b\r\n" },
    { "no text", 250, "2.0.0", VIEW_INIT(""), "250 2.0.0\r\n" },
    { "nothing", 334, NULL, VIEW_INIT(""), "334 \r\n" },
    { "control bytes", 501, "5.1.3", VIEW_INIT("a\rb\0c\x7f"), "501 5.1.3 a?b?c?\r\n" },
};

static void prints_replies(void **state)
{
    char room[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        check(printed[i].name,
              reply_print(printed[i].code, printed[i].enhanced, printed[i].text, &out));
        check_view(printed[i].name, buf_view(&out), view_of(printed[i].wanted));
        for (size_t capacity = 0; capacity < strlen(printed[i].wanted); capacity++) {
            out = buf_on(room, capacity);
            check(printed[i].name,
                  !reply_print(printed[i].code, printed[i].enhanced, printed[i].text, &out));
            check(printed[i].name, buf_len(&out) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_replies),
        cmocka_unit_test(keeps_limits),
        cmocka_unit_test(reads_enhanced_codes),
        cmocka_unit_test(prints_replies),
    };

    return cmocka_run_group_tests_name("mail/reply", tests, NULL, NULL);
}
