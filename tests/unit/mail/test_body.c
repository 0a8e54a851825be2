#include "mail/body.h"

#include "common/buf.h"
#include "tests/unit/unit.h"

#include <string.h>

/* What a receiver said of an input: R and N for bare CR and LF, 8 for octets above 127, 0 for NUL,
 * E for the end. */
static const struct {
    const char *name;
    struct view input, content;
    const char *seen;
    struct view rest;
} cases[] = {
    { "a line", VIEW_INIT("a\r\n.\r\nQUIT"), VIEW_INIT("a\r\n"), "E", VIEW_INIT("QUIT") },
    { "no content", VIEW_INIT(".\r\n"), VIEW_INIT(""), "E", VIEW_INIT("") },
    { "an empty line", VIEW_INIT("\r\n.\r\n"), VIEW_INIT("\r\n"), "E", VIEW_INIT("") },
    { "not ended", VIEW_INIT("a\r\n."), VIEW_INIT("a\r\n"), "", VIEW_INIT("") },
    { "stuffed dot", VIEW_INIT("..a\r\n.\r\n"), VIEW_INIT(".a\r\n"), "E", VIEW_INIT("") },
    { "stuffed lone dot", VIEW_INIT("a\r\n..\r\n.\r\n"), VIEW_INIT("a\r\n.\r\n"), "E",
      VIEW_INIT("") },
    { "dot that was not stuffed", VIEW_INIT(".a\r\n.\r\n"), VIEW_INIT("a\r\n"), "E",
      VIEW_INIT("") },
    { "dot within a line", VIEW_INIT("a.\r\n.\r\n"), VIEW_INIT("a.\r\n"), "E", VIEW_INIT("") },
    { "LF.LF", VIEW_INIT("a\n.\nb\r\n.\r\n"), VIEW_INIT("a\n.\nb\r\n"), "NE", VIEW_INIT("") },
    { "LF.CRLF", VIEW_INIT("a\n.\r\nb\r\n.\r\n"), VIEW_INIT("a\n.\r\nb\r\n"), "NE", VIEW_INIT("") },
    { "CRLF.LF", VIEW_INIT("a\r\n.\nb\r\n.\r\n"), VIEW_INIT("a\r\n\nb\r\n"), "NE", VIEW_INIT("") },
    { "CR.CR", VIEW_INIT("a\r.\rb\r\n.\r\n"), VIEW_INIT("a\r.\rb\r\n"), "RE", VIEW_INIT("") },
    { "CR.CRLF", VIEW_INIT("a\r.\r\nb\r\n.\r\n"), VIEW_INIT("a\r.\r\nb\r\n"), "RE", VIEW_INIT("") },
    { "CRLF.CR", VIEW_INIT("a\r\n.\rb\r\n.\r\n"), VIEW_INIT("a\r\n\rb\r\n"), "RE", VIEW_INIT("") },
    { "LFCR.CRLF", VIEW_INIT("a\n\r.\r\n\r\n.\r\n"), VIEW_INIT("a\n\r.\r\n\r\n"), "RNE",
      VIEW_INIT("") },
    { "CRCRLF.CRLF", VIEW_INIT("a\r\r\n.\r\nQ"), VIEW_INIT("a\r\r\n"), "RE", VIEW_INIT("Q") },
    { "CRLF.CRCRLF", VIEW_INIT("a\r\n.\r\r\n.\r\nQ"), VIEW_INIT("a\r\n\r\r\n"), "RE",
      VIEW_INIT("Q") },
    { "CRLF.NUL.CRLF", VIEW_INIT("a\r\n.\0\r\n.\r\n"), VIEW_INIT("a\r\n\0\r\n"), "0E",
      VIEW_INIT("") },
    { "CRLF NUL .CRLF", VIEW_INIT("a\r\n\0.\r\n.\r\n"), VIEW_INIT("a\r\n\0.\r\n"), "0E",
      VIEW_INIT("") },
    { "LF first", VIEW_INIT("\n.\r\n.\r\n"), VIEW_INIT("\n.\r\n"), "NE", VIEW_INIT("") },
    { "octets above 127", VIEW_INIT("\xc3\xbc\r\n.\r\n"), VIEW_INIT("\xc3\xbc\r\n"), "8E",
      VIEW_INIT("") },
    { "the rest is not looked at", VIEW_INIT("a\r\n.\r\n\xff\0\n"), VIEW_INIT("a\r\n"), "E",
      VIEW_INIT("\xff\0\n") },
};

static void say_seen(const struct body_receiver *r, struct buf *seen)
{
    buf_put(seen, VIEW(""));
    buf_put(seen, r->bare_cr ? VIEW("R") : VIEW(""));
    buf_put(seen, r->bare_lf ? VIEW("N") : VIEW(""));
    buf_put(seen, r->eight_bit ? VIEW("8") : VIEW(""));
    buf_put(seen, r->nul ? VIEW("0") : VIEW(""));
    buf_put(seen, r->done ? VIEW("E") : VIEW(""));
}

/* In pieces of 1 to `most` bytes; returns what follows the end. */
static struct view receive(struct body_receiver *r, struct view input, size_t most, uint64_t *seed,
                           struct buf *content)
{
    struct view piece;

    *r = (struct body_receiver){ .bytes = 0 };
    while (input.len > 0 && !r->done) {
        struct view part = view_sub(input, 0, 1 + (size_t)random_below(seed, most));
        size_t given = part.len;

        while (body_receive(r, &part, &piece)) {
            assert_true(piece.len > 0);
            assert_true(buf_put(content, piece));
        }
        assert_true(r->done || part.len == 0);
        input = view_from(input, given - part.len);
    }
    assert_int_equal(r->bytes, buf_len(content));
    return input;
}

static void check_case(size_t i, size_t most, uint64_t *seed)
{
    char content_room[256], seen_room[8];
    struct buf content = BUF_ON_ARRAY(content_room), seen = BUF_ON_ARRAY(seen_room);
    struct body_receiver r;
    struct view rest = receive(&r, cases[i].input, most, seed, &content);

    say_seen(&r, &seen);
    check_view(cases[i].name, buf_view(&content), cases[i].content);
    check_view(cases[i].name, buf_view(&seen), view_of(cases[i].seen));
    check_view(cases[i].name, rest, cases[i].rest);
}

static void receives(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_case(i, 1, &seed);
        for (int round = 0; round < 50; round++)
            check_case(i, 5, &seed);
    }
}

static void receives_whole_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct view input = cases[i].input, piece;
        struct body_receiver r = { .bytes = 0 };
        char room[256];
        struct buf content = BUF_ON_ARRAY(room);

        while (body_receive(&r, &input, &piece))
            buf_put(&content, piece);
        check_view(cases[i].name, buf_view(&content), cases[i].content);
        check_view(cases[i].name, input, cases[i].rest);
    }
}

/* The same, told byte by byte: what is still open since the last line end decides. */
struct plain {
    bool bare_cr, bare_lf, eight_bit, nul, done;
};

static size_t receive_plainly(struct view v, struct plain *seen, struct buf *content)
{
    size_t i = 0;
    bool line_start = true;

    *seen = (struct plain){ .done = false };
    while (i < v.len) {
        if (line_start && view_starts(view_from(v, i), VIEW(".\r\n"))) {
            seen->done = true;
            return i + 3;
        }
        if (line_start && v.ptr[i] == '.')
            i++;
        line_start = false;
        if (i < v.len && view_starts(view_from(v, i), VIEW("\r\n"))) {
            line_start = true;
            buf_put(content, VIEW("\r\n"));
            i += 2;
        } else if (i < v.len) {
            seen->bare_cr = seen->bare_cr || v.ptr[i] == '\r';
            seen->bare_lf = seen->bare_lf || v.ptr[i] == '\n';
            seen->eight_bit = seen->eight_bit || (v.ptr[i] & 0x80) != 0;
            seen->nul = seen->nul || v.ptr[i] == '\0';
            buf_put_byte(content, v.ptr[i++]);
        }
    }
    return i;
}

/* Mostly ordinary lines, so that the fast road is taken, with accidents in between. */
static size_t make_input(char *room, size_t len, uint64_t *seed)
{
    static const char *const accidents[] = { "\r",      "\n",     ".",       "\r\n.",
                                             "\r\n..",  "\r\r\n", "\n.\r\n", "\r\n.\r",
                                             "\r\n.\n", "\xfc",   "\r\n\r\n" };
    size_t often = 20 + (size_t)random_below(seed, 400), at = 0;

    while (at + 8 < len) {
        if (random_below(seed, often) == 0) {
            const char *accident = accidents[random_below(seed, COUNT_OF(accidents))];

            memcpy(room + at, accident, strlen(accident));
            at += strlen(accident);
        } else if (random_below(seed, 40) == 0) {
            memcpy(room + at, "\r\n", 2);
            at += 2;
        } else {
            room[at++] = (char)('a' + random_below(seed, 26));
        }
    }
    memcpy(room + at, "\r\n.\r\n", 5);
    return at + 5;
}

static void agrees_with_the_plain_way(void **state)
{
    static char input[3000], fast_room[3000], plain_room[3000];
    uint64_t seed = 7;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct view v = view_make(input, make_input(input, 16 + random_below(&seed, 2900), &seed));
        struct buf fast = BUF_ON_ARRAY(fast_room), plain = BUF_ON_ARRAY(plain_room);
        size_t most = round % 3 == 0 ? SIZE_MAX / 2 : 1 + (size_t)random_below(&seed, 300);
        struct body_receiver r;
        struct plain seen;
        size_t used = receive_plainly(v, &seen, &plain);
        struct view rest = receive(&r, v, most, &seed, &fast);

        check_view("content", buf_view(&fast), buf_view(&plain));
        assert_int_equal(v.len - rest.len, used);
        assert_true(r.done && seen.done);
        assert_int_equal(r.bare_cr, seen.bare_cr);
        assert_int_equal(r.bare_lf, seen.bare_lf);
        assert_int_equal(r.eight_bit, seen.eight_bit);
    }
}

/* Each kind of trouble at each place of some strides. */
static void sees_trouble_anywhere(void **state)
{
    static const char bytes[] = { '\r', '\n', '\0', '\xfc' };
    char room[300];

    (void)state;
    for (size_t at = 1; at < sizeof(room) - 1; at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            struct view input = view_make(room, sizeof(room)), piece;
            struct body_receiver r = { .bytes = 0 };

            memset(room, 'a', sizeof(room));
            room[at] = bytes[i];
            assert_true(body_receive(&r, &input, &piece));
            assert_int_equal(piece.len, sizeof(room));
            assert_int_equal(r.bare_cr, i == 0);
            assert_int_equal(r.bare_lf, i == 1);
            assert_int_equal(r.nul, i == 2);
            assert_int_equal(r.eight_bit, i == 3);
        }
    }
}

static const struct {
    const char *name;
    struct view content, sent;
} sendings[] = {
    { "nothing", VIEW_INIT(""), VIEW_INIT("") },
    { "a line", VIEW_INIT("a\r\n"), VIEW_INIT("a\r\n") },
    { "a dot", VIEW_INIT(".\r\n"), VIEW_INIT("..\r\n") },
    { "dots", VIEW_INIT("..\r\n.\r\n...\r\n"), VIEW_INIT("...\r\n..\r\n....\r\n") },
    { "dots elsewhere", VIEW_INIT("a.\r\n .\r\n"), VIEW_INIT("a.\r\n .\r\n") },
    { "behind an empty line", VIEW_INIT("\r\n.\r\n"), VIEW_INIT("\r\n..\r\n") },
    { "behind a bare LF", VIEW_INIT("a\n.\r\n"), VIEW_INIT("a\n..\r\n") },
};

static void send_in_parts(struct view content, size_t most, uint64_t *seed, struct buf *out)
{
    struct body_sender s = { .middle = false };
    struct view piece;

    while (content.len > 0) {
        struct view part = view_sub(content, 0, 1 + (size_t)random_below(seed, most));

        content = view_from(content, part.len);
        while (body_send(&s, &part, &piece)) {
            assert_true(piece.len > 0);
            assert_true(buf_put(out, piece));
        }
        assert_int_equal(part.len, 0);
    }
}

static void stuffs_dots(void **state)
{
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sendings); i++) {
        for (size_t most = 1; most < 20; most++) {
            char room[64];
            struct buf out = BUF_ON_ARRAY(room);

            send_in_parts(sendings[i].content, most, &seed, &out);
            check_view(sendings[i].name, buf_view(&out), sendings[i].sent);
        }
    }
}

static void received_is_what_was_sent(void **state)
{
    static char content_room[2000], wire_room[4000], back_room[2000];
    static const char *const parts[] = { ".", "..", "\r\n", "\r\n.", "a", "some words of text" };
    uint64_t seed = 11;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct buf content = BUF_ON_ARRAY(content_room), wire = BUF_ON_ARRAY(wire_room);
        struct buf back = BUF_ON_ARRAY(back_room);
        size_t count = (size_t)random_below(&seed, 100);
        struct body_receiver r;

        for (size_t i = 0; i < count; i++)
            buf_put(&content, view_of(parts[random_below(&seed, COUNT_OF(parts))]));
        buf_put(&content, VIEW("\r\n"));
        send_in_parts(buf_view(&content), 200, &seed, &wire);
        buf_put(&wire, VIEW(".\r\n"));
        assert_int_equal(receive(&r, buf_view(&wire), 200, &seed, &back).len, 0);
        assert_true(r.done && !r.bare_cr && !r.bare_lf);
        check_view("content", buf_view(&back), buf_view(&content));
    }
}

static const struct {
    const char *name;
    const char *message;
    unsigned received;
    bool ended;
} headers[] = {
    { "two hops", "Received: a\r\nFrom: b\r\nreCEIVED: c\r\n\r\n", 2, true },
    { "folded", "Received: a\r\n b\r\n\tReceived: c\r\n\r\n", 1, true },
    { "others", "X-Received: a\r\nReceived-SPF: b\r\nReceive: c\r\nReceivedd: d\r\n\r\n", 0, true },
    { "blank before the colon", "Received : a\r\n\r\n", 1, true },
    { "words before the colon", "Received it: a\r\n\r\n", 0, true },
    { "blank first", " Received: a\r\n\r\n", 0, true },
    { "in the body", "A: b\r\n\r\nReceived: c\r\n", 0, true },
    { "no header", "\r\nReceived: c\r\n", 0, true },
    { "no body", "Received: c\r\n", 1, false },
    { "no colon", "Received\r\n\r\n", 0, true },
    { "a line that starts with CR", "\rReceived: c\r\n", 0, false },
};

/* Byte by byte, as one would write it down. */
static struct body_receiver count_plainly(struct view v)
{
    struct body_receiver r = { .bytes = v.len };

    for (size_t i = 0; i < v.len; i++) {
        bool after_cr = i > 0 && v.ptr[i - 1] == '\r', lf = v.ptr[i] == '\n';

        r.bare_lf = r.bare_lf || (lf && !after_cr);
        r.bare_cr = r.bare_cr || (after_cr && !lf);
        r.eight_bit = r.eight_bit || (unsigned char)v.ptr[i] > 127;
        r.nul = r.nul || v.ptr[i] == '\0';
    }
    return r;
}

static void counts_what_is_not_ended_by_a_dot(void **state)
{
    static const char alphabet[] = { 'a', '.', '\r', '\n', '\r', '\n', '\xe4', '\0' };
    char text[300];
    uint64_t seed = 11;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct view whole = view_make(text, (size_t)random_below(&seed, sizeof(text)));
        uint64_t kinds = 1 + random_below(&seed, sizeof(alphabet));
        struct body_receiver r = { .bytes = 0 }, plain;
        struct view rest = whole;

        for (size_t i = 0; i < whole.len; i++) {
            bool ends_line = i > 0 && text[i - 1] == '\r' && random_below(&seed, 8) > 0;

            text[i] = ends_line ? '\n' : alphabet[random_below(&seed, kinds)];
        }
        plain = count_plainly(whole);
        while (rest.len > 0) {
            size_t part = 1 + (size_t)random_below(&seed, rest.len);

            body_count(&r, view_sub(rest, 0, part));
            rest = view_from(rest, part);
        }
        assert_int_equal(r.bytes, plain.bytes);
        assert_true(r.bare_cr == plain.bare_cr && r.bare_lf == plain.bare_lf);
        assert_true(r.eight_bit == plain.eight_bit && r.nul == plain.nul && !r.done);
        assert_true(body_is_whole(&r) ==
                    (whole.len == 0 || (whole.len > 1 && text[whole.len - 1] == '\n' &&
                                        text[whole.len - 2] == '\r')));
    }
}

static void counts_hops(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        for (size_t step = 1; step < 80; step++) {
            struct view rest = view_of(headers[i].message);
            struct header_scan h = { .ended = false };

            while (rest.len > 0) {
                header_scan_feed(&h, view_sub(rest, 0, step));
                rest = view_from(rest, step);
            }
            check(headers[i].name, h.received == headers[i].received);
            check(headers[i].name, h.ended == headers[i].ended);
        }
    }
}

#define A50  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A250 A50 A50 A50 A50 A50

static const struct {
    const char *name, *message, *id;
} ids[] = {
    { "usual", "Message-ID: <a@b>\r\nFrom: c\r\n\r\n", "<a@b>" },
    { "behind others", "From: c\r\nmessage-id:<a@b>\r\n\r\n", "<a@b>" },
    { "folded", "Message-ID:\r\n <a@b>\r\nFrom: c\r\n\r\n", "<a@b>" },
    { "the first counts", "Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n <e@f>\r\n\r\n", "<a@b>" },
    { "another name", "Message-IDs: <a@b>\r\nX-Message-ID: <c@d>\r\n\r\n", "" },
    { "a continued line of another", "Message-I\r\n d: <a@b>\r\n\r\n", "" },
    { "in the body", "From: c\r\n\r\nMessage-ID: <a@b>\r\n", "" },
    { "not ASCII", "Message-ID: <\xc3\xa4@b>\r\n\r\n", "" },
    { "a control byte", "Message-ID: <\x1b@b>\r\n\r\n", "" },
    { "as long as may be", "Message-ID: <" A250 "@b>\r\n\r\n", "<" A250 "@b>" },
    { "too long", "Message-ID: <" A250 "@bcd>\r\n\r\n", "" },
    { "empty", "Message-ID:\r\nFrom: c\r\n\r\n", "" },
    { "none", "From: c\r\n\r\n", "" },
};

static void finds_the_message_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        for (size_t step = 1; step < 80; step++) {
            struct view rest = view_of(ids[i].message);
            struct header_scan h = { .ended = false };

            while (rest.len > 0) {
                header_scan_feed(&h, view_sub(rest, 0, step));
                rest = view_from(rest, step);
            }
            check_view(ids[i].name, header_scan_message_id(&h), view_of(ids[i].id));
        }
    }
}

static void finds_the_header(void **state)
{
    (void)state;
    check_view("usual", body_header(VIEW("A: b\r\nC: d\r\n\r\nbody")), VIEW("A: b\r\nC: d\r\n"));
    check_view("no header", body_header(VIEW("\r\nbody")), VIEW(""));
    check_view("no body", body_header(VIEW("A: b\r\n")), VIEW("A: b\r\n"));
    check_view("nothing", body_header(VIEW("")), VIEW(""));
}

static void finds_fields(void **state)
{
    struct view header =
        VIEW("Subject-X: no\r\nSUBJECT :  one\r\n two \r\nSubject: three\r\nTo:\r\n"
             "Last: x");
    struct view value;

    (void)state;
    assert_true(header_find(header, VIEW("Subject"), &value));
    check_view("folded", value, VIEW("one\r\n two"));
    assert_true(header_find(header, VIEW("to"), &value));
    check_view("empty", value, VIEW(""));
    assert_true(header_find(header, VIEW("last"), &value));
    check_view("no line end", value, VIEW("x"));
    assert_false(header_find(header, VIEW("two"), &value));
    assert_false(header_find(header, VIEW("Sub"), &value));
    assert_false(header_find(VIEW_EMPTY, VIEW("Subject"), &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receives),
        cmocka_unit_test(receives_whole_inputs),
        cmocka_unit_test(agrees_with_the_plain_way),
        cmocka_unit_test(sees_trouble_anywhere),
        cmocka_unit_test(stuffs_dots),
        cmocka_unit_test(received_is_what_was_sent),
        cmocka_unit_test(counts_what_is_not_ended_by_a_dot),
        cmocka_unit_test(counts_hops),
        cmocka_unit_test(finds_the_message_id),
        cmocka_unit_test(finds_the_header),
        cmocka_unit_test(finds_fields),
    };

    return cmocka_run_group_tests_name("mail/body", tests, NULL, NULL);
}
