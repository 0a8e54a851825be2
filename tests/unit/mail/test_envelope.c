#include "mail/envelope.h"

#include "tests/unit/unit.h"

static const struct envelope_rcpt two[] = {
    { .address = VIEW_INIT("bob@b.test"),
      .original = VIEW_INIT("rfc822;b b@b.test"),
      .notify = NOTIFY_SUCCESS | NOTIFY_DELAY },
    { .address = VIEW_INIT("\"c d\"@e.test"), .notify = NOTIFY_NEVER },
};
static const struct envelope_rcpt one[] = { { .address = VIEW_INIT("bob@b.test") } };

static const char full_text[] =
    "from=alice@a.test\n"
    "rcpt=bob@b.test\norcpt=rfc822;b b@b.test\nnotify=success,delay\n"
    "rcpt=\"c d\"@e.test\nnotify=never\n"
    "arrival=1795421700123\naccepted=1764150000123\nbody=8bit\nnotice=yes\nret=headers\n"
    "smtputf8=yes\nrequiretls=yes\npriority=-9\n"
    "not-before=1795421800000\ndeliver-by=1795421900000\nby=return\n"
    "by-trace=yes\nclient=192.0.2.1\nclient-name=mail.a.test\n"
    "helo=x%0Arcpt=evil\nprotocol=ESMTPS\ntls=TLSv1.3 A 256\n"
    "session=5f2a\nlistener=submission\nlogin=alice\ntags=bulk,slow\n"
    "route=slow\nhold=rule 3\nmessage-id=<1@a.test>\nenvid=QQ 314159\n";

static struct envelope full(void)
{
    return (struct envelope){
        .sender = VIEW("alice@a.test"),
        .rcpts = two,
        .rcpt_count = 2,
        .arrival_ms = 1795421700123,
        .body_8bit = true,
        .notice = true,
        .client = VIEW("192.0.2.1"),
        .client_name = VIEW("mail.a.test"),
        .helo = VIEW("x\nrcpt=evil"),
        .protocol = VIEW("ESMTPS"),
        .tls = VIEW("TLSv1.3 A 256"),
        .session = VIEW("5f2a"),
        .listener = VIEW("submission"),
        .login = VIEW("alice"),
        .tags = VIEW("bulk,slow"),
        .route = VIEW("slow"),
        .hold = VIEW("rule 3"),
        .message_id = VIEW("<1@a.test>"),
        .envelope_id = VIEW("QQ 314159"),
        .returns = RETURN_HEADERS,
        .utf8 = true,
        .require_tls = true,
        .priority = PRIORITY_LEAST,
        .accepted_ms = 1764150000123,
        .not_before_ms = 1795421800000,
        .deliver_by_ms = 1795421900000,
        .by = BY_RETURN,
        .by_trace = true,
    };
}

static void encodes(void **state)
{
    struct envelope e = full();
    char room[1024];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(envelope_encode(&e, &out));
    check_view("full", buf_view(&out), VIEW(full_text));
    e = (struct envelope){ .rcpts = one, .rcpt_count = 1 };
    buf_clear(&out);
    assert_true(envelope_encode(&e, &out));
    check_view("bare", buf_view(&out), VIEW("from=\nrcpt=bob@b.test\narrival=0\n"));
    e = full();
    for (size_t capacity = 0; capacity < sizeof(full_text) - 1; capacity++) {
        out = buf_on(room, capacity);
        assert_false(envelope_encode(&e, &out));
        assert_int_equal(buf_len(&out), 0);
    }
}

static void decodes(void **state)
{
    struct envelope e, wanted = full();
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    assert_true(envelope_decode(VIEW(full_text), &arena, &e));
    check_view("sender", e.sender, wanted.sender);
    assert_int_equal(e.rcpt_count, 2);
    check_view("first", e.rcpts[0].address, two[0].address);
    check_view("second", e.rcpts[1].address, two[1].address);
    assert_int_equal(e.arrival_ms, wanted.arrival_ms);
    assert_true(e.body_8bit && e.notice);
    check_view("client", e.client, wanted.client);
    check_view("helo", e.helo, wanted.helo);
    check_view("protocol", e.protocol, wanted.protocol);
    check_view("tls", e.tls, wanted.tls);
    check_view("session", e.session, wanted.session);
    check_view("listener", e.listener, wanted.listener);
    check_view("login", e.login, wanted.login);
    check_view("tags", e.tags, wanted.tags);
    check_view("route", e.route, wanted.route);
    check_view("hold", e.hold, wanted.hold);
    check_view("message-id", e.message_id, wanted.message_id);
    check_view("envid", e.envelope_id, wanted.envelope_id);
    check_view("first original", e.rcpts[0].original, two[0].original);
    check_view("second original", e.rcpts[1].original, VIEW(""));
    assert_int_equal(e.rcpts[0].notify, two[0].notify);
    assert_int_equal(e.rcpts[1].notify, two[1].notify);
    assert_int_equal(e.returns, wanted.returns);
    assert_true(e.utf8 && e.require_tls && e.by_trace);
    assert_int_equal(e.priority, wanted.priority);
    assert_int_equal(e.accepted_ms, wanted.accepted_ms);
    assert_int_equal(e.not_before_ms, wanted.not_before_ms);
    assert_int_equal(e.deliver_by_ms, wanted.deliver_by_ms);
    assert_int_equal(e.by, wanted.by);
    arena_reset(&arena);
}

static const struct {
    const char *name, *text;
    bool good;
} cases[] = {
    { "least", "from=\nrcpt=a@b\narrival=1\n", true },
    { "bare postmaster", "from=\nrcpt=postmaster\narrival=1\n", true },
    { "unknown keys", "new=thing\nfrom=\nrcpt=a@b\narrival=1\nnew=thing\n", true },
    { "any order", "arrival=1\nrcpt=a@b\nfrom=\n", true },
    { "UTF-8", "from=\nrcpt=gr\xc3\xbc\xc3\x9f@b\narrival=1\n", true },
    { "nothing", "", false },
    { "no sender", "rcpt=a@b\narrival=1\n", false },
    { "no recipient", "from=\narrival=1\n", false },
    { "no arrival", "from=\nrcpt=a@b\n", false },
    { "sender twice", "from=\nfrom=\nrcpt=a@b\narrival=1\n", false },
    { "arrival twice", "from=\nrcpt=a@b\narrival=1\narrival=1\n", false },
    { "helo twice", "from=\nrcpt=a@b\narrival=1\nhelo=a\nhelo=b\n", false },
    { "bad sender", "from=a\nrcpt=a@b\narrival=1\n", false },
    { "bad recipient", "from=\nrcpt=a@b\nrcpt=a@b@c\narrival=1\n", false },
    { "empty recipient", "from=\nrcpt=\narrival=1\n", false },
    { "line end in an address", "from=\nrcpt=\"a%0A\"@b\narrival=1\n", false },
    { "arrival not a number", "from=\nrcpt=a@b\narrival=x\n", false },
    { "arrival too big", "from=\nrcpt=a@b\narrival=18446744073709551616\n", false },
    { "unknown body", "from=\nrcpt=a@b\narrival=1\nbody=9bit\n", false },
    { "priority", "from=\nrcpt=a@b\narrival=1\npriority=9\n", true },
    { "priority too high", "from=\nrcpt=a@b\narrival=1\npriority=10\n", false },
    { "unknown ret", "from=\nrcpt=a@b\narrival=1\nret=some\n", false },
    { "nothing for a word", "from=\nrcpt=a@b\narrival=1\nret=\n", false },
    { "flag denied", "from=\nrcpt=a@b\narrival=1\nsmtputf8=no\n", false },
    { "orcpt before any recipient", "from=\norcpt=rfc822;a@b\nrcpt=a@b\narrival=1\n", false },
    { "orcpt twice", "from=\nrcpt=a@b\norcpt=x;y\norcpt=x;y\narrival=1\n", false },
    { "never and more", "from=\nrcpt=a@b\nnotify=never,delay\narrival=1\n", false },
    { "never of several", "from=\nrcpt=a@b\nnotify=never,expanded\narrival=1\n", true },
    { "unknown notify", "from=\nrcpt=a@b\nnotify=always\narrival=1\n", false },
    { "login twice", "from=\nrcpt=a@b\narrival=1\nlogin=a\nlogin=a\n", false },
    { "cut", "from=\nrcpt=a@b\narrival=1", false },
    { "not a line", "from=\nrcpt=a@b\narrival=1\n\n", false },
};

static void decides(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct envelope e;

        check(cases[i].name, envelope_decode(view_of(cases[i].text), &arena, &e) == cases[i].good);
        arena_reset(&arena);
    }
}

/* `count` recipients, one line each. */
static bool decode_many(size_t count, size_t arena_limit)
{
    struct arena arena;
    struct envelope e;
    struct buf out;
    bool good;

    buf_new(&out, 64 + count * 16);
    buf_put(&out, VIEW("from=\narrival=1\n"));
    for (size_t i = 0; i < count; i++)
        buf_printf(&out, "rcpt=u%zu@b\n", i);
    arena_init(&arena, arena_limit);
    good = envelope_decode(buf_view(&out), &arena, &e) && e.rcpt_count == count;
    arena_reset(&arena);
    buf_free(&out);
    return good;
}

static void keeps_limits(void **state)
{
    (void)state;
    assert_true(decode_many(ENVELOPE_RCPTS_MAX, 1 << 16));
    assert_false(decode_many(ENVELOPE_RCPTS_MAX + 1, 1 << 16));
    assert_false(decode_many(ENVELOPE_RCPTS_MAX, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes),
        cmocka_unit_test(decodes),
        cmocka_unit_test(decides),
        cmocka_unit_test(keeps_limits),
    };

    return cmocka_run_group_tests_name("mail/envelope", tests, NULL, NULL);
}
