#include "tools/call.h"
#include "tools/commands.h"

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

    for (size_t i = 0; i < json_count(past); i++) {
        const struct json_node *a = json_at(past, i);

        printf("    %-13s", i == 0 ? "before" : "");
        for (size_t k = 0; k < COUNT_OF(shown); k++)
            print_field(" ", a, shown[k]);
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
        print_line("    ", "attempts", rcpt, "attempts");
        print_line("    ", "next attempt", rcpt, "next_at");
        print_last(json_get(rcpt, "last"));
        print_past(json_get(rcpt, "past"));
    }
    print_last(json_get(n, "last")); /* of mail that is over, for all of them */
}

static bool shows_all(const struct call *call)
{
    return strcmp(call->command, "show") == 0 || strcmp(call->command, "trace") == 0;
}

/* The last line of an answer: {"end":true,"matched":N} or {"error":"..."}. */
static bool is_last(struct view line)
{
    return view_starts(line, VIEW("{\"end\":")) || view_starts(line, VIEW("{\"error\":"));
}

static int finish(const struct call *call, const struct json_node *n)
{
    unsigned long long matched = json_number(json_get(n, "matched"));
    struct view error = field(n, "error");
    bool list = strcmp(call->command, "list") == 0, show = shows_all(call);

    if (error.len > 0)
        return trouble("%.*s", VIEW_ARG(error));
    if (call->json && !list && !show)
        printf("{\"v\":1,\"matched\":%llu}\n", matched);
    else if (!call->json && list)
        printf("%llu message%s\n", matched, matched == 1 ? "" : "s");
    else if (!call->json && !show)
        printf("%s: %llu message%s\n", call->command, matched, matched == 1 ? "" : "s");
    return matched > 0 || list ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

static int read_answer(const struct call *call, struct control *control)
{
    struct view line;

    while (control_read(control, &line)) {
        bool last = is_last(line);
        int status = 0;
        struct json *j;

        if (!last && call->json) { /* as it is: there may be millions */
            fwrite(line.ptr, 1, line.len, stdout);
            putchar('\n');
            continue;
        }
        j = json_parse(line);
        if (last)
            status = finish(call, json_root(j));
        else if (shows_all(call))
            print_message(json_root(j));
        else
            print_row(json_root(j));
        json_free(&j);
        if (last)
            return status;
    }
    return trouble("the queue ended the conversation before its answer was complete");
}

static int run_simple(const struct settings *s, int argc, char **argv)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .command = argv[0], .request = BUF_ON_ARRAY(room) };
    struct control control;
    int status;

    buf_put(&call.request, view_of(call.command));
    status = call_read(&call, argc, argv);
    if (status != 0)
        return status;
    if (call.filters == 0 && strcmp(call.command, "list") != 0)
        return trouble("%s which messages? An id, --all, --sender, --recipient, --domain or "
                       "--state",
                       call.command);
    status = call_begin(&call, s, &control);
    if (status != 0)
        return status;
    status = read_answer(&call, &control);
    control_close(&control);
    return status;
}

int command_trace(const struct settings *s, int argc, char **argv)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .command = "trace", .request = BUF_ON_ARRAY(room) };
    struct control control;
    int status;

    call.json = argc == 3 && strcmp(argv[2], "--json") == 0;
    if (argc != 2 && !call.json)
        return trouble("trace what? An address, an id or a Message-ID, and --json or nothing");
    buf_put(&call.request, VIEW("trace"));
    if (!control_put(&call.request, "word", view_of(argv[1])))
        return trouble("this is too long to look for");
    status = call_begin(&call, s, &control);
    if (status != 0)
        return status;
    status = read_answer(&call, &control);
    control_close(&control);
    return status;
}

int command_queue(const struct settings *s, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct settings *s, int argc, char **argv);
    } commands[] = {
        { "list", run_simple },       { "show", run_simple },    { "retry", run_simple },
        { "hold", run_simple },       { "release", run_simple }, { "delete", run_simple },
        { "undelete", run_simple },   { "cat", command_cat },    { "export", command_export },
        { "import", command_import },
    };

    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(s, argc, argv);
    }
    return trouble(
        "no such queue command: %s (list, show, cat, retry, hold, release, delete, undelete, "
        "export, import)",
        argv[0]);
}
