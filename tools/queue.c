#include "tools/call.h"
#include "tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_age(uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *unit;
    } steps[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (seconds >= steps[i].seconds || i + 1 == COUNT_OF(steps)) {
            printf("%llu%s", (unsigned long long)(seconds / steps[i].seconds), steps[i].unit);
            return;
        }
    }
}

static void print_size(uint64_t bytes)
{
    if (bytes < 10240)
        printf("%llu bytes", (unsigned long long)bytes);
    else if (bytes < 10 << 20)
        printf("%llu KiB", (unsigned long long)(bytes >> 10));
    else
        printf("%llu MiB", (unsigned long long)(bytes >> 20));
}

static struct view field(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

static void print_field(const char *before, const struct json_node *n, const char *key)
{
    fputs(before, stdout);
    print_safe(field(n, key));
}

static void print_tries(const struct json_node *n)
{
    uint64_t tries = json_number(json_get(n, "attempts"));

    printf("  %llu attempt%s", (unsigned long long)tries, tries == 1 ? "" : "s");
    if (field(n, "next_at").len > 0)
        print_field(", next ", n, "next_at");
}

static void print_sender(const struct json_node *n)
{
    fputs("  from <", stdout);
    print_safe(field(n, "sender"));
    putchar('>');
}

static void print_row(const struct json_node *n)
{
    const struct json_node *rcpts = json_get(n, "rcpts");

    print_safe(field(n, "id"));
    print_field("  ", n, "state");
    fputs("  ", stdout);
    print_age(json_number(json_get(n, "age_s")));
    fputs("  ", stdout);
    print_size(json_number(json_get(n, "size")));
    print_sender(n);
    print_tries(n);
    putchar('\n');
    for (size_t i = 0; i < json_count(rcpts); i++) {
        const struct json_node *rcpt = json_at(rcpts, i);

        print_field("    to <", rcpt, "addr");
        print_field(">  ", rcpt, "state");
        putchar('\n');
    }
    if (field(n, "reason").len > 0) {
        print_field("    ", n, "reason");
        putchar('\n');
    }
}

/* Every field of an object, one a line; lists of objects below each other. */
static void print_line(const char *indent, const char *label, const struct json_node *n,
                       const char *key)
{
    if (field(n, key).len == 0)
        return;
    printf("%s%-13s ", indent, label);
    print_safe(field(n, key));
    putchar('\n');
}

static void print_last(const struct json_node *last)
{
    static const char *const shown[][2] = {
        { "last attempt", "at" }, { "  result", "class" }, { "  host", "host" },
        { "  while", "stage" },   { "  code", "code" },    { "  enhanced", "enhanced" },
        { "  reply", "text" },    { "  tls", "tls" },      { "  took (ms)", "duration_ms" },
    };

    for (size_t i = 0; last != NULL && i < COUNT_OF(shown); i++)
        print_line("    ", shown[i][0], last, shown[i][1]);
}

/* The attempts before the last, one a line. */
static void print_past(const struct json_node *past)
{
    static const char *const shown[] = { "at",   "class",    "host", "stage",
                                         "code", "enhanced", "text", "tls" };
    const struct json_node *took;

    for (size_t i = 0; i < json_count(past); i++) {
        const struct json_node *a = json_at(past, i);

        printf("    %-13s", i == 0 ? "before" : "");
        for (size_t k = 0; k < COUNT_OF(shown); k++)
            print_field(" ", a, shown[k]);
        took = json_get(a, "duration_ms");
        if (took != NULL)
            printf(" %llums", (unsigned long long)json_number(took));
        putchar('\n');
    }
}

static void print_message(const struct json_node *n)
{
    static const char *const shown[][2] = {
        { "message", "id" },
        { "state", "state" },
        { "since", "at" },
        { "arrived", "arrived" },
        { "message-id", "message_id" },
        { "login", "login" },
        { "expires", "expires_at" },
        { "size", "size" },
        { "client", "client" },
        { "listener", "listener" },
        { "client name", "client_name" },
        { "helo", "helo" },
        { "protocol", "protocol" },
        { "tls", "tls" },
        { "session", "session" },
        { "attempts", "attempts" },
        { "next attempt", "next_at" },
        { "reason", "reason" },
        { "held by", "hold" },
    };
    const struct json_node *rcpts = json_get(n, "rcpts");

    for (size_t i = 0; i < COUNT_OF(shown); i++)
        print_line("", shown[i][0], n, shown[i][1]);
    fputs("sender        <", stdout);
    print_safe(field(n, "sender"));
    fputs(">\n", stdout);
    for (size_t i = 0; i < json_count(rcpts); i++) {
        const struct json_node *rcpt = json_at(rcpts, i);

        print_field("recipient     <", rcpt, "addr");
        fputs(">\n", stdout);
        print_line("    ", "state", rcpt, "state");
        print_line("    ", "destination", rcpt, "destination");
        print_line("    ", "way", rcpt, "way");
        print_line("    ", "attempts", rcpt, "attempts");
        print_line("    ", "next attempt", rcpt, "next_at");
        print_last(json_get(rcpt, "last"));
        print_past(json_get(rcpt, "past"));
    }
    print_last(json_get(n, "last")); /* of mail that is over, for all of them */
}

static int hear_row(void *of, const struct json_node *n)
{
    (void)of;
    print_row(n);
    return 0;
}

static int hear_message(void *of, const struct json_node *n)
{
    (void)of;
    print_message(n);
    return 0;
}

int command_queue(const struct invocation *in)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .request = BUF_ON_ARRAY(room) };
    bool list = strcmp(in->name, "list") == 0, show = strcmp(in->name, "show") == 0;
    struct control_listener to = { .hear = show ? hear_message : hear_row, .as_it_is = in->json };
    unsigned long long matched = 0;
    int status;

    buf_put(&call.request, view_of(in->name));
    status = call_read(&call, in, NULL);
    if (status == 0 && call.filters == 0 && !list)
        return wrong_use("%s which messages?", in->name);
    if (status == 0)
        status = control_call(in->settings, buf_view(&call.request), &to, &matched);
    if (status != 0)
        return status;
    if (list && !in->json)
        printf("%llu message%s\n", matched, matched == 1 ? "" : "s");
    if (!list && !show)
        print_matched(in, matched, "message");
    if (show && matched == 0)
        trouble("there is no such message");
    return matched > 0 || list ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

int command_trace(const struct invocation *in)
{
    static char room[CALL_REQUEST_MAX];
    struct buf request = BUF_ON_ARRAY(room);
    struct control_listener to = { .hear = hear_message, .as_it_is = in->json };
    unsigned long long matched = 0;
    int status;

    if (in->argc != 2 || in->argv[1][0] == '-')
        return wrong_use("trace what?");
    buf_put(&request, VIEW("trace"));
    if (!control_put(&request, "word", view_of(in->argv[1])))
        return trouble("this is too long to look for");
    status = control_call(in->settings, buf_view(&request), &to, &matched);
    if (status != 0)
        return status;
    if (matched == 0)
        trouble("nothing is known of such mail");
    return matched > 0 ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}
