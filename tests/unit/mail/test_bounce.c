#include "mail/bounce.h"

#include "mail/body.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static const struct envelope envelope = {
    .sender = VIEW_INIT("alice@a.test"),
    .arrival_ms = 1795421700123,
};
static const struct outcome unknown = {
    .class = OUTCOME_FAILED,
    .code = 550,
    .enhanced = { 5, 1, 1 },
    .text = VIEW_INIT("No such user"),
    .host = VIEW_INIT("mx1.b.test[192.0.2.1]:25"),
    .doing = VIEW_INIT("sending RCPT TO"),
};
static const struct outcome silent = {
    .class = OUTCOME_DEFERRED,
    .enhanced = { 4, 4, 1 },
    .text = VIEW_INIT("connection timed out"),
    .host = VIEW_INIT("mx1.c.test[192.0.2.2]:25"),
    .doing = VIEW_INIT("connecting"),
};

static struct bounce simple(const struct bounce_rcpt *rcpts, size_t count)
{
    return (struct bounce){
        .envelope = &envelope,
        .message_id = VIEW("19a2c0000000040"),
        .header = VIEW("From: alice@a.test\r\nSubject: Hello\r\nMessage-ID: <1@a.test>\r\n"),
        .rcpts = rcpts,
        .rcpt_count = count,
        .hostname = VIEW("mx.here.test"),
        .now_ms = 1795425300000,
        .unique = 77,
    };
}

static const char whole[] =
    "Date: Mon, 23 Nov 2026 09:15:00 +0000\r\n"
    "From: Mail Delivery System <MAILER-DAEMON@mx.here.test>\r\n"
    "To: <alice@a.test>\r\n"
    "Subject: Your message could not be delivered\r\n"
    "Message-ID: <1a207afee20.4d@mx.here.test>\r\n"
    "References: <1@a.test>\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
    "\tboundary=\"=_tern_000001a207afee20000000000000004d\"\r\n"
    "\r\n"
    "--=_tern_000001a207afee20000000000000004d\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "\r\n"
    "This is the mail server mx.here.test.\r\n"
    "\r\n"
    "A message that you sent could not be delivered:\r\n"
    "\r\n"
    "    Subject: Hello\r\n"
    "    Received here: Mon, 23 Nov 2026 08:15:00 +0000\r\n"
    "\r\n"
    "<bob@b.test>\r\n"
    "    mx1.b.test[192.0.2.1]:25 answered while sending RCPT TO:\r\n"
    "        550 5.1.1 No such user\r\n"
    "    There is no such mailbox: please check the address for a typing error.\r\n"
    "\r\n"
    "<carl@c.test>\r\n"
    "    connection timed out (mx1.c.test[192.0.2.2]:25, while connecting)\r\n"
    "    All attempts until now failed, and the time for it is over.\r\n"
    "    Please send it again later, or reach the person another way.\r\n"
    "\r\n"
    "No further attempts will be made for the addresses above. Other\r\n"
    "recipients of the message are not affected.\r\n"
    "The administrator of this server finds the message by its number,\r\n"
    "19a2c0000000040.\r\n"
    "\r\n"
    "--=_tern_000001a207afee20000000000000004d\r\n"
    "Content-Type: message/delivery-status\r\n"
    "\r\n"
    "Reporting-MTA: dns; mx.here.test\r\n"
    "X-Tern-Message: 19a2c0000000040\r\n"
    "Arrival-Date: Mon, 23 Nov 2026 08:15:00 +0000\r\n"
    "\r\n"
    "Final-Recipient: rfc822; bob@b.test\r\n"
    "Action: failed\r\n"
    "Status: 5.1.1\r\n"
    "Remote-MTA: dns; mx1.b.test\r\n"
    "Diagnostic-Code: smtp;\r\n"
    "\t550 5.1.1 No such user\r\n"
    "Last-Attempt-Date: Mon, 23 Nov 2026 09:14:59 +0000\r\n"
    "\r\n"
    "Final-Recipient: rfc822; carl@c.test\r\n"
    "Action: failed\r\n"
    "Status: 4.4.1\r\n"
    "Remote-MTA: dns; mx1.c.test\r\n"
    "Diagnostic-Code: x-tern;\r\n"
    "\tconnection timed out\r\n"
    "\r\n"
    "--=_tern_000001a207afee20000000000000004d\r\n"
    "Content-Type: text/rfc822-headers\r\n"
    "\r\n"
    "From: alice@a.test\r\n"
    "Subject: Hello\r\n"
    "Message-ID: <1@a.test>\r\n"
    "\r\n"
    "--=_tern_000001a207afee20000000000000004d--\r\n";

static void writes_a_failure(void **state)
{
    const struct bounce_rcpt rcpts[] = {
        { .address = VIEW("bob@b.test"), .outcome = &unknown, .attempted_ms = 1795425299999 },
        { .address = VIEW("carl@c.test"), .outcome = &silent, .expired = true },
    };
    struct bounce b = simple(rcpts, COUNT_OF(rcpts));
    static char room[8192];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(bounce_write(&b, &out));
    check_view("whole", buf_view(&out), VIEW(whole));
    for (size_t capacity = 0; capacity < sizeof(whole) - 1; capacity += 7) {
        out = buf_on(room, capacity);
        assert_false(bounce_write(&b, &out));
        assert_int_equal(buf_len(&out), 0);
    }
}

/* What the sender can do about it, by the status; the end of a line that folds is not looked at. */
static const struct {
    const char *name;
    enum bounce_action action;
    bool expired;
    struct enhanced status;
    const char *hint; /* NULL: none of them */
} advice[] = {
    { "no mailbox", BOUNCE_FAILED, false, { 5, 1, 1 }, "There is no such mailbox: please" },
    { "no domain",
      BOUNCE_FAILED,
      false,
      { 5, 1, 2 },
      "The domain does not exist or takes no mail" },
    { "null MX", BOUNCE_FAILED, false, { 5, 1, 10 }, "The domain takes no mail: please" },
    { "an address", BOUNCE_FAILED, false, { 5, 1, 3 }, "Please check the address for a typing" },
    { "full", BOUNCE_FAILED, false, { 5, 2, 2 }, "The mailbox is full: please try again later" },
    { "big", BOUNCE_FAILED, false, { 5, 2, 3 }, "The message is too big for this mailbox" },
    { "bigger", BOUNCE_FAILED, false, { 5, 3, 4 }, "The message is too big for that server" },
    { "not ASCII", BOUNCE_FAILED, false, { 5, 6, 7 }, "That server takes only addresses in ASCII" },
    { "refused", BOUNCE_FAILED, false, { 5, 7, 1 }, "The server refuses such mail" },
    { "no host", BOUNCE_FAILED, false, { 5, 4, 4 }, "No server of the domain can be found" },
    { "a circle", BOUNCE_FAILED, false, { 5, 4, 6 }, "The message would come back for ever" },
    { "no promise", BOUNCE_FAILED, false, { 5, 7, 30 }, "You asked for TLS all the way" },
    { "something", BOUNCE_FAILED, false, { 5, 0, 0 }, "If these words do not help" },
    { "in vain", BOUNCE_FAILED, true, { 4, 2, 2 }, "Please send it again later" },
    { "delayed", BOUNCE_DELAYED, false, { 4, 2, 2 }, NULL },
};

static void tells_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(advice); i++) {
        struct outcome o = unknown;
        const struct bounce_rcpt rcpt = { .address = VIEW("bob@b.test"),
                                          .outcome = &o,
                                          .expired = advice[i].expired };
        struct bounce b = simple(&rcpt, 1);
        char room[8192];
        struct buf out = BUF_ON_ARRAY(room);

        b.action = advice[i].action;
        o.enhanced = advice[i].status;
        check(advice[i].name, bounce_write(&b, &out));
        for (size_t k = 0; k < COUNT_OF(advice); k++) {
            if (advice[k].hint != NULL)
                check(advice[i].name, (view_find_view(buf_view(&out), view_of(advice[k].hint)) <
                                       buf_len(&out)) == (k == i));
        }
    }
}

static const char *const delay_lines[] = {
    "Subject: Your message is delayed\r\n",
    "Action: delayed\r\n",
    "Will-Retry-Until: Sat, 28 Nov 2026 08:15:00 +0000\r\n",
    "Further attempts will be made until Sat, 28 Nov 2026 08:15:00 +0000\r\n",
    "You need not send the message again.",
};

static void writes_a_delay(void **state)
{
    const struct bounce_rcpt rcpt = { .address = VIEW("carl@c.test"),
                                      .outcome = &silent,
                                      .attempted_ms = 1795425299999,
                                      .expires_ms = 1795853700123 };
    struct bounce b = simple(&rcpt, 1);
    char room[4096];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    b.action = BOUNCE_DELAYED;
    assert_true(bounce_write(&b, &out));
    for (size_t i = 0; i < COUNT_OF(delay_lines); i++)
        check(delay_lines[i],
              view_find_view(buf_view(&out), view_of(delay_lines[i])) < buf_len(&out));
}

/* Every line ends in CRLF, is short, and has only printable ASCII and tabs. */
static void check_lines(struct view v)
{
    while (v.len > 0) {
        size_t end = view_find_view(v, VIEW("\r\n"));

        assert_true(end < v.len);
        assert_true(end <= 998);
        for (size_t i = 0; i < end; i++)
            assert_true(v.ptr[i] == '\t' || (v.ptr[i] >= 32 && v.ptr[i] < 127));
        v = view_from(v, end + 2);
    }
}

static size_t count_lines(struct view v, const char *start)
{
    size_t count = 0;
    struct view line;

    while (view_take_line(&v, &line))
        count += view_starts(line, view_of(start));
    return count;
}

/* As bounce_write, in the room that was promised, with what must hold for every notice. */
static void write_and_check(const struct bounce *b)
{
    struct buf out;

    buf_new(&out, bounce_room(b));
    assert_true(bounce_write(b, &out));
    check_lines(buf_view(&out));
    assert_int_equal(count_lines(buf_view(&out), "--=_tern_"), 4);
    assert_int_equal(count_lines(buf_view(&out), "Final-Recipient:"), b->rcpt_count);
    assert_int_equal(count_lines(buf_view(&out), "Action:"), b->rcpt_count);
    assert_int_equal(count_lines(body_header(buf_view(&out)), "To:"), 1);
    buf_free(&out);
}

static void check_line(const char *name, const struct buf *out, const char *wanted)
{
    if (view_find_view(buf_view(out), view_of(wanted)) == buf_len(out))
        fail_msg("%s: there is no \"%s\" in %.*s", name, wanted, VIEW_ARG(buf_view(out)));
}

static void foreign_texts_forge_nothing(void **state)
{
    static const char *const texts[] = {
        "no\nAction: delivered",
        "no\r\n\r\nAction: delivered\r\n\r\n",
        "no\n\n--=_tern_000001a207afee20000000000000004d--\n",
        "\n\n\n",
        "",
        "gr\xc3\xbc\xc3\x9f \xff\x1b[2J\x7f",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct outcome o = unknown;
        const struct bounce_rcpt rcpt = { .address = VIEW("\"a\nTo: b\"@c"), .outcome = &o };
        struct bounce b = simple(&rcpt, 1);

        o.text = o.host = o.doing = view_of(texts[i]);
        write_and_check(&b);
        o.code = 0;
        write_and_check(&b);
    }
}

static const struct {
    const char *name;
    struct view header;
    const char *wanted; /* somewhere in the last part */
} headers[] = {
    { "nothing", VIEW_INIT(""), "text/rfc822-headers\r\n\r\n\r\n--" },
    { "octets above 127", VIEW_INIT("A: gr\xc3\xbc=\xc3\x9f\r\n"), "A: gr=C3=BC=3D=C3=9F\r\n" },
    { "bare LF", VIEW_INIT("A: b\nC: d\r\n"), "A: b=0AC: d\r\n" },
    { "no line end", VIEW_INIT("A: \xff "), "A: =FF=20\r\n" },
    { "blank at the end", VIEW_INIT("A: \xff \r\n"), "A: =FF=20\r\n" },
    { "a boundary", VIEW_INIT("A: b\r\n--=_tern_000001a207afee20000000000000004d--\r\n"),
      "\r\n--=3D_tern_" },
};

static void headers_come_back_whole(void **state)
{
    const struct bounce_rcpt rcpt = { .address = VIEW("bob@b.test"), .outcome = &unknown };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct bounce b = simple(&rcpt, 1);
        char room[8192];
        struct buf out = BUF_ON_ARRAY(room);

        b.header = headers[i].header;
        check(headers[i].name, bounce_write(&b, &out));
        check(headers[i].name,
              view_find_view(buf_view(&out), view_of(headers[i].wanted)) < buf_len(&out));
        write_and_check(&b);
    }
}

static void writes_of_success(void **state)
{
    static const struct outcome accepted = {
        .class = OUTCOME_DELIVERED,
        .code = 250,
        .enhanced = { 2, 1, 5 },
        .text = VIEW_INIT("Ok"),
        .host = VIEW_INIT("mx1.b.test[192.0.2.1]:25"),
    };
    static const struct bounce_rcpt rcpt = { .address = VIEW_INIT("bob@b.test"),
                                             .original = VIEW_INIT("rfc822;bob+list@b.test"),
                                             .outcome = &accepted };
    static const enum bounce_action kinds[] = { BOUNCE_DELIVERED, BOUNCE_RELAYED, BOUNCE_EXPANDED };
    struct envelope e = envelope;

    (void)state;
    e.envelope_id = VIEW("QQ 314159");
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct bounce b = simple(&rcpt, 1);
        char room[8192], line[64];
        struct buf out = BUF_ON_ARRAY(room);

        b.action = kinds[i];
        b.envelope = &e;
        (void)snprintf(line, sizeof(line), "Action: %s\r\n", bounce_action_name(kinds[i]));
        check(line, bounce_write(&b, &out));
        check_line(line, &out, "Original-Envelope-Id: QQ 314159\r\nReporting-MTA:");
        check_line(line, &out,
                   "Original-Recipient: rfc822; bob+list@b.test\r\n"
                   "Final-Recipient: rfc822; bob@b.test\r\n");
        check_line(line, &out, line);
        check_line(line, &out, "Status: 2.1.5\r\n");
        check_line(line, &out, "You asked to be told");
        write_and_check(&b);
    }
}

/* RFC 3464, 2.3.5: "dns" is for names and addresses. */
static void names_a_socket_as_what_it_is(void **state)
{
    struct outcome o = unknown;
    const struct bounce_rcpt rcpt = { .address = VIEW("bob@b.test"), .outcome = &o };
    struct bounce b = simple(&rcpt, 1);
    char room[8192];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    o.host = VIEW("/run/dovecot/lmtp");
    assert_true(bounce_write(&b, &out));
    check_line("socket", &out, "Remote-MTA: x-unix; /run/dovecot/lmtp\r\n");
}

/* RFC 3461, 4.3: only of a failure, and not a large one. */
static void returns_the_whole_message_when_asked(void **state)
{
    static const struct {
        const char *name;
        enum bounce_action action;
        enum envelope_return returns;
        bool utf8;
        struct view content;
        const char *wanted;
    } contents[] = {
        { "full", BOUNCE_FAILED, RETURN_FULL, false, VIEW_INIT("A: b\r\n\r\nthe body\r\n"),
          "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nthe body\r\n\r\n--=_tern_" },
        { "8 bits", BOUNCE_FAILED, RETURN_FULL, false,
          VIEW_INIT("A: b\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n"),
          "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b" },
        { "UTF-8", BOUNCE_FAILED, RETURN_FULL, true, VIEW_INIT("A: b\r\n\r\n\r\n"),
          "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b" },
        { "headers", BOUNCE_FAILED, RETURN_HEADERS, false, VIEW_INIT("A: b\r\n\r\nx\r\n"),
          "Content-Type: text/rfc822-headers\r\n" },
        { "unsaid", BOUNCE_FAILED, RETURN_UNSAID, false, VIEW_INIT("A: b\r\n\r\nx\r\n"),
          "Content-Type: text/rfc822-headers\r\n" },
        { "a delay", BOUNCE_DELAYED, RETURN_FULL, false, VIEW_INIT("A: b\r\n\r\nx\r\n"),
          "Content-Type: text/rfc822-headers\r\n" },
        { "not at hand", BOUNCE_FAILED, RETURN_FULL, false, VIEW_INIT(""),
          "Content-Type: text/rfc822-headers\r\n" },
        { "no whole line", BOUNCE_FAILED, RETURN_FULL, false, VIEW_INIT("A: b\r\n\r\nx"),
          "Content-Type: text/rfc822-headers\r\n" },
        { "our boundary", BOUNCE_FAILED, RETURN_FULL, false,
          VIEW_INIT("A: b\r\n\r\n--=_tern_000001a207afee20000000000000004d--\r\n"),
          "Content-Type: text/rfc822-headers\r\n" },
    };
    static const struct bounce_rcpt rcpt = { .address = VIEW_INIT("bob@b.test"),
                                             .outcome = &unknown };
    static char large[BOUNCE_CONTENT_MAX + 2];
    struct envelope e = envelope;
    struct bounce b = simple(&rcpt, 1);

    (void)state;
    b.envelope = &e;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        char room[8192];
        struct buf out = BUF_ON_ARRAY(room);

        b.action = contents[i].action;
        b.content = contents[i].content;
        e.returns = contents[i].returns;
        e.utf8 = contents[i].utf8;
        check(contents[i].name, bounce_write(&b, &out));
        check_line(contents[i].name, &out, contents[i].wanted);
    }
    memset(large, 'x', sizeof(large));
    for (size_t i = 98; i < sizeof(large); i += 100)
        memcpy(large + i, "\r\n", 2);
    memcpy(large + sizeof(large) - 2, "\r\n", 2);
    e = (struct envelope){ .sender = VIEW("a@a.test"), .returns = RETURN_FULL };
    b.action = BOUNCE_FAILED;
    for (unsigned more = 0; more <= 2;
         more += 2) { /* the most that comes back, and two bytes more */
        struct buf out;

        b.content = view_make(large + 2 - more, BOUNCE_CONTENT_MAX + more);
        buf_new(&out, bounce_room(&b));
        assert_true(bounce_write(&b, &out));
        assert_int_equal(buf_len(&out) > BOUNCE_CONTENT_MAX, more == 0);
        buf_free(&out);
    }
}

static void writes_in_utf8(void **state)
{
    static const struct bounce_rcpt rcpt = { .address = VIEW_INIT("bj\xc3\xb6rn@b.test"),
                                             .original = VIEW_INIT("utf-8;bj\xc3\xb6rn@b.test"),
                                             .outcome = &unknown };
    struct envelope e = { .sender = VIEW("\xc3\xa4@a.test"), .utf8 = true };
    struct bounce b = simple(&rcpt, 1);
    char room[8192];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    b.envelope = &e;
    b.header = VIEW("Subject: \xc3\xbc \xff\r\n");
    assert_true(bounce_write(&b, &out));
    check_line("to", &out, "To: <\xc3\xa4@a.test>\r\n");
    check_line("subject", &out, "    Subject: \xc3\xbc \\xFF\r\n");
    check_line("words", &out, "<bj\xc3\xb6rn@b.test>\r\n");
    check_line("charset", &out, "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    check_line("type", &out, "Content-Type: message/global-delivery-status\r\n");
    check_line("original", &out, "Original-Recipient: utf-8; bj\xc3\xb6rn@b.test\r\n");
    check_line("final", &out, "Final-Recipient: utf-8; bj\xc3\xb6rn@b.test\r\n");
    check_line("no UTF-8 in the header", &out, "Content-Type: text/rfc822-headers\r\n");
    b.header = VIEW("Subject: \xc3\xbc\r\n");
    buf_clear(&out);
    assert_true(bounce_write(&b, &out));
    check_line("header", &out,
               "Content-Type: message/global-headers\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\nSubject: \xc3\xbc\r\n");
    /* The sender understands ASCII alone: RFC 6533, 3. */
    e = (struct envelope){ .sender = VIEW("a@a.test") };
    buf_clear(&out);
    assert_true(bounce_write(&b, &out));
    check_line("original", &out, "Original-Recipient: utf-8; bj\\x{F6}rn@b.test\r\n");
    check_line("final", &out, "Final-Recipient: utf-8; bj\\x{F6}rn@b.test\r\n");
    write_and_check(&b);
}

static void repeats_nothing_that_was_not_read(void **state)
{
    static const struct bounce_rcpt rcpt = { .address = VIEW_INIT("b@b.test"),
                                             .outcome = &unknown };
    struct bounce b = simple(&rcpt, 1);
    char room[8192];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    b.header = VIEW_EMPTY;
    b.unread = true;
    assert_true(bounce_write(&b, &out));
    check_line("words", &out, "is damaged: so\r\nnothing of it is repeated.\r\n");
    assert_true(view_find_view(buf_view(&out), VIEW("text/rfc822-headers")) == buf_len(&out));
}

/* The room holds for every mixture of bytes, at every length. */
static void the_room_is_enough(void **state)
{
    static char foreign[2 * BOUNCE_HEADER_MAX];
    static const char alphabet[] = { '\n', '\r', ' ', 'a', '\xff', '\0', '=' };
    uint64_t seed = 5;

    (void)state;
    for (int round = 0; round < 60; round++) {
        uint64_t kinds = 1 + random_below(&seed, sizeof(alphabet));
        size_t header_len = (size_t)random_below(&seed, sizeof(foreign));
        struct outcome o = unknown;
        struct bounce_rcpt rcpts[3];
        struct bounce b = simple(rcpts, COUNT_OF(rcpts));
        struct envelope e = envelope;

        for (size_t i = 0; i < sizeof(foreign); i++)
            foreign[i] = alphabet[random_below(&seed, kinds)];
        o.text = view_make(foreign, (size_t)random_below(&seed, 1000));
        o.host = view_make(foreign + 1000, (size_t)random_below(&seed, 1000));
        o.doing = view_make(foreign + 2000, (size_t)random_below(&seed, 200));
        for (size_t i = 0; i < COUNT_OF(rcpts); i++)
            rcpts[i] = (struct bounce_rcpt){
                view_make(foreign + 3000, 200), view_make(foreign + 3500, 200), &o, 1, 1, false,
            };
        e.sender = view_make(foreign + 4000, 200);
        e.envelope_id = view_make(foreign + 4500, 100);
        e.utf8 = round % 3 == 0;
        e.returns = RETURN_FULL;
        b.content = view_make(foreign, header_len);
        b.envelope = &e;
        b.action = (enum bounce_action)(round % BOUNCE_ACTIONS);
        b.header = view_make(foreign, header_len);
        write_and_check(&b);
    }
}

static void only_good_ids_are_repeated(void **state)
{
    static const char *const bad[] = { "Message-ID: <a b@c>\r\n",     "Message-ID: a@b\r\n",
                                       "Message-ID: <a>\r\n <b>\r\n", "Message-ID: <>\r\n",
                                       "Message-ID: <\xff@b>\r\n",    "Message-ID:\r\n" };
    const struct bounce_rcpt rcpt = { .address = VIEW("bob@b.test"), .outcome = &unknown };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct bounce b = simple(&rcpt, 1);
        char room[8192];
        struct buf out = BUF_ON_ARRAY(room);

        b.header = view_of(bad[i]);
        check(bad[i], bounce_write(&b, &out));
        check(bad[i], count_lines(buf_view(&out), "References:") == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_failure),
        cmocka_unit_test(tells_what_to_do),
        cmocka_unit_test(writes_a_delay),
        cmocka_unit_test(foreign_texts_forge_nothing),
        cmocka_unit_test(headers_come_back_whole),
        cmocka_unit_test(writes_of_success),
        cmocka_unit_test(names_a_socket_as_what_it_is),
        cmocka_unit_test(returns_the_whole_message_when_asked),
        cmocka_unit_test(writes_in_utf8),
        cmocka_unit_test(repeats_nothing_that_was_not_read),
        cmocka_unit_test(the_room_is_enough),
        cmocka_unit_test(only_good_ids_are_repeated),
    };

    return cmocka_run_group_tests_name("mail/bounce", tests, NULL, NULL);
}
