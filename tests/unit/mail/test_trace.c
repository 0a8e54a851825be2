#include "mail/trace.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    uint64_t ms;
    const char *date, *timestamp;
} dates[] = {
    { 0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z" },
    { 951782399999, "Mon, 28 Feb 2000 23:59:59 +0000", "2000-02-28T23:59:59.999Z" },
    { 951782400000, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00.000Z" },
    { 951868800000, "Wed, 01 Mar 2000 00:00:00 +0000", "2000-03-01T00:00:00.000Z" },
    { 978307199000, "Sun, 31 Dec 2000 23:59:59 +0000", "2000-12-31T23:59:59.000Z" },
    { 1795421700123, "Mon, 23 Nov 2026 08:15:00 +0000", "2026-11-23T08:15:00.123Z" },
    { 4107542400000, "Mon, 01 Mar 2100 00:00:00 +0000", "2100-03-01T00:00:00.000Z" },
    { 4107542399999, "Sun, 28 Feb 2100 23:59:59 +0000", "2100-02-28T23:59:59.999Z" },
};

static void prints_dates(void **state)
{
    char room[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        assert_true(trace_date(dates[i].ms, &out));
        check_view("date", buf_view(&out), view_of(dates[i].date));
        buf_clear(&out);
        assert_true(trace_timestamp(dates[i].ms, &out));
        check_view("timestamp", buf_view(&out), view_of(dates[i].timestamp));
    }
}

static const struct envelope_rcpt one[] = { { .address = VIEW_INIT("bob@b.test") },
                                            { .address = VIEW_INIT("carl@c.test") } };
static const struct envelope_rcpt quoted[] = { { .address = VIEW_INIT("\"a)b\"@c.test") } };

#define BY   "by mx.here.test (Tern)"
#define DATE "; Mon, 23 Nov 2026 08:15:00 +0000\r\n"

static const struct {
    const char *name;
    struct envelope envelope;
    const char *wanted;
} cases[] = {
    { "all facts",
      { .rcpts = one,
        .rcpt_count = 1,
        .client = VIEW_INIT("192.0.2.1"),
        .helo = VIEW_INIT("c.test"),
        .protocol = VIEW_INIT("ESMTPS"),
        .tls = VIEW_INIT("TLSv1.3 TLS_AES_256_GCM_SHA384 256"),
        .session = VIEW_INIT("5f2a") },
      "Received: from c.test ([192.0.2.1])\r\n\t" BY
      " with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384 256) id 5f2a\r\n\tfor <bob@b.test>" DATE },
    { "two recipients, IPv6",
      { .rcpts = one,
        .rcpt_count = 2,
        .client = VIEW_INIT("2001:db8::1"),
        .helo = VIEW_INIT("[IPv6:2001:db8::1]"),
        .protocol = VIEW_INIT("SMTP") },
      "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\t" BY " with SMTP" DATE },
    { "name that was looked up",
      { .rcpts = one,
        .rcpt_count = 2,
        .client = VIEW_INIT("192.0.2.1"),
        .client_name = VIEW_INIT("mail.a.test"),
        .helo = VIEW_INIT("other.test") },
      "Received: from other.test (mail.a.test [192.0.2.1])\r\n\t" BY DATE },
    { "forged name",
      { .rcpts = one,
        .rcpt_count = 2,
        .client = VIEW_INIT("192.0.2.1"),
        .helo = VIEW_INIT("a) (b\r\nX: <c>\\\xff") },
      "Received: from a???b??X:??c??? ([192.0.2.1])\r\n\t" BY DATE },
    { "no name",
      { .rcpts = one, .rcpt_count = 2, .client = VIEW_INIT("192.0.2.1") },
      "Received: from unknown ([192.0.2.1])\r\n\t" BY DATE },
    { "no client",
      { .rcpts = one, .rcpt_count = 1 },
      "Received: " BY "\r\n\tfor <bob@b.test>" DATE },
    { "a client that is hidden",
      { .rcpts = one, .rcpt_count = 2, .helo = VIEW_INIT("hidden.invalid") },
      "Received: from hidden.invalid\r\n\t" BY DATE },
    { "recipient that would need cleaning",
      { .rcpts = quoted, .rcpt_count = 1 },
      "Received: " BY DATE },
};

static void writes_received(void **state)
{
    char room[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        struct envelope e = cases[i].envelope;

        e.arrival_ms = 1795421700123;
        check(cases[i].name, trace_received(&e, VIEW("mx.here.test"), &out));
        check_view(cases[i].name, buf_view(&out), view_of(cases[i].wanted));
        for (size_t capacity = 0; capacity < strlen(cases[i].wanted); capacity++) {
            out = buf_on(room, capacity);
            check(cases[i].name, !trace_received(&e, VIEW("mx.here.test"), &out));
            check(cases[i].name, buf_len(&out) == 0);
        }
    }
}

static void lines_stay_short(void **state)
{
    static char long_name[2000], room[4096];
    struct buf out = BUF_ON_ARRAY(room);
    struct envelope e = {
        .rcpts = one, .rcpt_count = 1, .client = VIEW("192.0.2.1"), .protocol = VIEW("ESMTPS")
    };
    struct view rest, line;

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    e.helo = e.client_name = e.tls = e.client = e.session = e.protocol =
        view_make(long_name, sizeof(long_name));
    assert_true(trace_received(&e, view_make(long_name, 255), &out));
    rest = buf_view(&out);
    while (view_take_line(&rest, &line))
        assert_true(line.len <= 998);
}

static void reads_timestamps(void **state)
{
    static const struct {
        const char *text, *same; /* NULL: refused */
    } texts[] = {
        { "2026-11-23T08:15:00Z", "2026-11-23T08:15:00.000Z" },
        { "2026-11-23t08:15:00.1239z", "2026-11-23T08:15:00.123Z" },
        { "2026-11-23T08:15:00+01:30", "2026-11-23T06:45:00.000Z" },
        { "2026-11-23T08:15:00-08:00", "2026-11-23T16:15:00.000Z" },
        { "2024-02-29T23:59:60Z", "2024-02-29T23:59:59.000Z" },
        { "2000-12-31T00:00:00Z", "2000-12-31T00:00:00.000Z" },
        { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
        { "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z" },
        { "1970-01-01T00:00:00+00:01", NULL },
        { "2025-02-29T00:00:00Z", NULL },
        { "2100-02-29T00:00:00Z", NULL },
        { "2026-13-01T00:00:00Z", NULL },
        { "2026-00-01T00:00:00Z", NULL },
        { "2026-04-31T00:00:00Z", NULL },
        { "2026-11-23T24:00:00Z", NULL },
        { "2026-11-23 08:15:00Z", NULL },
        { "2026-11-23T08:15:00", NULL },
        { "2026-11-23T08:15Z", NULL },
        { "2026-11-23T08:15:00.Z", NULL },
        { "2026-11-23T08:15:00Zx", NULL },
        { "20261123T081500Z", NULL }, /* what the erratum is about: ISO 8601 alone is not enough */
        { "2026-11-23T08:15:00+0100", NULL },
        { "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char room[64];
        struct buf out = BUF_ON_ARRAY(room);
        uint64_t wall_ms;
        bool good = trace_read_timestamp(view_of(texts[i].text), &wall_ms);

        check(texts[i].text, good == (texts[i].same != NULL));
        if (!good)
            continue;
        check(texts[i].text, trace_timestamp(wall_ms, &out));
        check_view(texts[i].text, buf_view(&out), view_of(texts[i].same));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_dates),
        cmocka_unit_test(reads_timestamps),
        cmocka_unit_test(writes_received),
        cmocka_unit_test(lines_stay_short),
    };

    return cmocka_run_group_tests_name("mail/trace", tests, NULL, NULL);
}
