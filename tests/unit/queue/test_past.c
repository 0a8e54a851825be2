#include "queue/past.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct envelope_rcpt rcpts[] = {
    { .address = VIEW_INIT("bob@b.test") },
    { .address = VIEW_INIT("Carol@c.test"), .original = VIEW_INIT("rfc822;caro@c.test") },
};

static struct past sample(void)
{
    return (struct past){
        .id = 0x1a200f3c0,
        .state = PAST_BOUNCED,
        .at_ms = 1795695180123,
        .attempts = 3,
        .body_bytes = 4711,
        .envelope = { .sender = VIEW("alice@a.test"),
                      .rcpts = rcpts,
                      .rcpt_count = 2,
                      .arrival_ms = 1795695179000,
                      .login = VIEW("alice\nstate=delivered"),
                      .message_id = VIEW("<1@a.test>") },
        .outcome = VIEW("class=failed\ntext=no\n"),
    };
}

static void comes_back_as_it_was(void **state)
{
    const struct past was = sample();
    char room[4096];
    struct buf text = BUF_ON_ARRAY(room);
    struct arena arena;
    struct past p;

    (void)state;
    arena_init(&arena, 65536);
    assert_true(past_encode(&was, &text));
    assert_true(past_decode(buf_view(&text), &arena, &p));
    assert_int_equal(p.id, was.id);
    assert_int_equal(p.state, PAST_BOUNCED);
    assert_int_equal(p.at_ms, was.at_ms);
    assert_int_equal(p.attempts, 3);
    assert_int_equal(p.body_bytes, 4711);
    check_view("sender", p.envelope.sender, was.envelope.sender);
    check_view("login", p.envelope.login, was.envelope.login);
    assert_int_equal(p.envelope.rcpt_count, 2);
    check_view("original", p.envelope.rcpts[1].original, rcpts[1].original);
    check_view("outcome", p.outcome, was.outcome);
    arena_reset(&arena);
}

/* Whatever is cut off or changed: it is no record, or the same. */
static void sees_damage(void **state)
{
    const struct past was = sample();
    char room[4096], damaged[4096];
    struct buf text = BUF_ON_ARRAY(room);
    struct arena arena;
    struct past p;
    size_t len;

    (void)state;
    assert_true(past_encode(&was, &text));
    len = buf_len(&text) - 2; /* without the line ends */
    arena_init(&arena, 65536);
    for (size_t i = 0; i < len; i++) {
        assert_false(past_decode(view_sub(buf_view(&text), 0, i), &arena, &p));
        memcpy(damaged, room, len + 2);
        damaged[i] ^= 1;
        assert_false(past_decode(view_make(damaged, len + 2), &arena, &p));
        arena_reset(&arena);
    }
}

static void leaves_nothing_when_it_does_not_fit(void **state)
{
    const struct past p = sample();
    char room[4096], other[4096];
    struct buf whole = BUF_ON_ARRAY(other);

    (void)state;
    assert_true(past_encode(&p, &whole));
    for (size_t size = 10; size < buf_len(&whole) + 6; size++) {
        struct buf text = buf_on(room, size);

        buf_put(&text, VIEW("before"));
        assert_false(past_encode(&p, &text));
        check_view("what was there", buf_view(&text), VIEW("before"));
    }
}

static void knows_what_is_meant(void **state)
{
    static const struct {
        const char *word;
        bool meant;
    } words[] = {
        { "00000001a200f3c0", true }, { "00000001A200F3C0", true }, { "00000001a200f3c1", false },
        { "1a200f3c0", false },       { "alice@a.test", true },     { "ALICE@A.TEST", true },
        { "bob@b.test", true },       { "carol@c.test", true },     { "ob@b.test", false },
        { "b.test", false },          { "<1@a.test>", true },       { "1@a.test", true },
        { "<1@A.test>", false },      { "@a.test", false },         { "caro@c.test", false },
    };
    const struct past p = sample();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        check(words[i].word,
              past_means(p.id, &p.envelope, view_of(words[i].word)) == words[i].meant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(sees_damage),
        cmocka_unit_test(leaves_nothing_when_it_does_not_fit),
        cmocka_unit_test(knows_what_is_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
