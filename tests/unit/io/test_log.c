#include "io/log.h"

#include "io/clock.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2]; /* of the pipe that stands for descriptor 2 */
static int stderr_fd;
static char line[65536];

static int redirect(void **state)
{
    (void)state;
    stderr_fd = dup(STDERR_FILENO);
    return pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0 || dup2(ends[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int restore(void **state)
{
    (void)state;
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* Everything that was written, as a string; "" if nothing was. */
static const char *written(void)
{
    ssize_t len = read(ends[0], line, sizeof(line) - 1);

    line[len > 0 ? len : 0] = '\0';
    return line;
}

static const char *expected(const char *format)
{
    static char text[256];
    char pid[16];
    const char *mark = strchr(format, '#');

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(mark - format), format, pid, mark + 1);
    return text;
}

static void writes_text(void **state)
{
    (void)state;
    clock_freeze(1795421700123);
    log_open("smtpd", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_info("message_accepted", LOG_ID("message", 0x19a2c), LOG_U64("size_bytes", 5123),
             LOG_VIEW("sender", VIEW("a b\"\n\xff")), LOG_ERRNO("error", EACCES),
             { NULL, LOG_FIELD_U64, VIEW_EMPTY, 1 }, LOG_STRING("host", "mx.test"));
    assert_string_equal(written(),
                        expected("time=2026-11-23T08:15:00.123Z level=info "
                                 "event=message_accepted process=smtpd pid=# "
                                 "message=0000000000019a2c size_bytes=5123 "
                                 "sender=\"a b\\\"\\n\\u00ff\" error=\"Permission denied\" "
                                 "host=mx.test\n"));
}

static void writes_json(void **state)
{
    (void)state;
    clock_freeze(1795421700123);
    log_open("queue", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_warn("sender_odd", LOG_ID("message", 1), LOG_U64("n", 2), LOG_VIEW("v", VIEW_EMPTY),
             LOG_ERRNO("error", 99999));
    assert_string_equal(written(),
                        expected("{\"time\":\"2026-11-23T08:15:00.123Z\",\"level\":\"warning\","
                                 "\"event\":\"sender_odd\",\"process\":\"queue\",\"pid\":#,"
                                 "\"message\":\"0000000000000001\",\"n\":2,\"v\":\"\","
                                 "\"error\":99999}\n"));
}

static void leaves_out_what_is_below_the_level(void **state)
{
    (void)state;
    log_open("queue", LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    log_info("turned", LOG_U64("n", 1));
    assert_string_equal(written(), "");
    log_error("turned", LOG_U64("n", 1));
    assert_non_null(strstr(written(), "level=error event=turned"));
    log_event(LOG_LEVEL_ERROR, "alone", NULL, 0);
    assert_non_null(strstr(written(), "event=alone"));
}

static const struct {
    uint64_t wall_ms;
    const char *text;
} dates[] = {
    { 0, "1970-01-01T00:00:00.000Z" },
    { 951782400000, "2000-02-29T00:00:00.000Z" },
    { 951868799999, "2000-02-29T23:59:59.999Z" },
    { 951868800000, "2000-03-01T00:00:00.000Z" },
    { 1709164800000, "2024-02-29T00:00:00.000Z" },
    { 1767225599999, "2025-12-31T23:59:59.999Z" },
    { 1767225600000, "2026-01-01T00:00:00.000Z" },
    { 4107542400000, "2100-03-01T00:00:00.000Z" },
};

static void knows_the_calendar(void **state)
{
    (void)state;
    log_open("queue", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        clock_freeze(dates[i].wall_ms);
        log_info("turned", LOG_U64("n", 1));
        check_view(dates[i].text, view_sub(view_of(written()), 5, 24), view_of(dates[i].text));
    }
}

static void cuts_long_values(void **state)
{
    static char bytes[20000];
    struct view all = view_make(bytes, sizeof(bytes));

    (void)state;
    log_open("queue", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    memset(bytes, 1, sizeof(bytes)); /* each needs six bytes */
    log_info("sent", LOG_VIEW("a", all), LOG_VIEW("b", all), LOG_VIEW("c", all), LOG_U64("n", 7));
    written();
    assert_in_range(strlen(line), 3 * 1024, 16384);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_non_null(strstr(line, "\"c\":\""));
    assert_string_equal(line + strlen(line) - 2, "}\n");
    /* "x" and then two bytes each: the limit falls into the middle of a character. */
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i == 0 ? 'x' : i % 2 == 1 ? '\xc3' : '\xa4';
    log_info("sent", LOG_VIEW("a", all), LOG_U64("n", 7));
    assert_null(strstr(written(), "\\u00"));
    assert_non_null(strstr(line, "\xa4\",\"n\":7}\n"));
}

static void counts_what_is_lost(void **state)
{
    static const char filler[4096];

    (void)state;
    log_open("queue", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    while (write(ends[1], filler, sizeof(filler)) > 0)
        continue;
    log_info("first", LOG_U64("n", 1));
    log_info("second", LOG_U64("n", 2));
    while (read(ends[0], line, sizeof(line)) > 0)
        continue;
    log_info("third", LOG_U64("n", 3));
    assert_non_null(strstr(written(), "event=third"));
    assert_non_null(strstr(line, " lines_lost=2 n=3\n"));
    log_info("fourth", LOG_U64("n", 4));
    assert_null(strstr(written(), "lines_lost"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_text),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(leaves_out_what_is_below_the_level),
        cmocka_unit_test(knows_the_calendar),
        cmocka_unit_test(cuts_long_values),
        cmocka_unit_test(counts_what_is_lost),
    };

    return cmocka_run_group_tests(tests, redirect, restore);
}
