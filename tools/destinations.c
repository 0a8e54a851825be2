#include "tools/commands.h"
#include "tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_MAX = 4096 };

static struct view field(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

static unsigned long long number(const struct json_node *n, const char *key)
{
    return json_number(json_get(n, key));
}

static void print_field(const char *before, const struct json_node *n, const char *key)
{
    if (field(n, key).len == 0)
        return;
    fputs(before, stdout);
    print_safe(field(n, key));
}

static void print_breaker(const struct json_node *n)
{
    print_field("    breaker ", n, "breaker");
    print_field(" since ", n, "since");
    print_field(", next probe ", n, "next_at");
    print_field(field(n, "since").len > 0 ? ": " : ", last trouble: ", n, "cause");
    putchar('\n');
}

static void print_rate(const struct json_node *n, const char *key, const char *what)
{
    const struct json_node *rate = json_get(n, key);

    if (rate != NULL)
        printf(", %llu %s in %llums", number(rate, "count"), what, number(rate, "period_ms"));
}

static void print_limits(const struct json_node *n)
{
    printf("    connections %llu of %llu, %llu running, %llu messages each",
           number(n, "connections"), number(n, "connections_most"), number(n, "running"),
           number(n, "messages_per_connection"));
    print_rate(n, "message_rate", "messages");
    print_rate(n, "recipient_rate", "recipients");
    print_rate(n, "connection_rate", "attempts to connect");
    putchar('\n');
}

static void print_mail(const struct json_node *n)
{
    const struct json_node *domains = json_get(n, "domains");
    unsigned long long count = number(n, "domain_count");

    printf("    waiting %llu of %llu, for", number(n, "waiting"), number(n, "deliveries"));
    for (size_t i = 0; i < json_count(domains); i++) {
        putchar(' ');
        print_safe(json_text(json_at(domains, i)));
    }
    if (count > json_count(domains))
        printf(" and %llu more", count - json_count(domains));
    putchar('\n');
}

static void print_destination(const struct json_node *n)
{
    print_safe(field(n, "destination"));
    putchar('\n');
    print_breaker(n);
    print_limits(n);
    print_mail(n);
    if (field(n, "last_success").len > 0 || field(n, "last_failure").len > 0) {
        fputs("   ", stdout);
        print_field(" last success ", n, "last_success");
        print_field(" last failure ", n, "last_failure");
        putchar('\n');
    }
}

static int finish(const struct json_node *n, const char *verb, bool named)
{
    unsigned long long matched = number(n, "matched");

    if (field(n, "error").len > 0)
        return trouble("%.*s", VIEW_ARG(field(n, "error")));
    if (strcmp(verb, "destinations") != 0)
        printf("%s: %llu destination%s\n", verb, matched, matched == 1 ? "" : "s");
    return matched > 0 || !named ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

static int read_answer(struct control *control, const char *verb, bool named, bool as_json)
{
    struct view line;

    while (control_read(control, &line)) {
        struct json *j = json_parse(line);
        const struct json_node *n = json_root(j);
        bool last = json_get(n, "end") != NULL || json_get(n, "error") != NULL;
        int status = last ? finish(n, verb, named) : 0;

        if (!last && as_json)
            printf("%.*s\n", VIEW_ARG(line));
        else if (!last)
            print_destination(n);
        json_free(&j);
        if (last)
            return status;
    }
    return trouble("the queue ended the conversation before its answer was complete");
}

/* destinations [open | close] [NAME] [--json] */
int command_destinations(const struct settings *s, int argc, char **argv)
{
    const char *verb = "destinations", *name = NULL;
    char room[REQUEST_MAX];
    struct buf request = BUF_ON_ARRAY(room);
    bool as_json = false, fits;
    struct control control;
    struct error why;
    int status;

    if (argc > 0 && (strcmp(argv[0], "open") == 0 || strcmp(argv[0], "close") == 0)) {
        verb = argv[0];
        argc--;
        argv++;
    }
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            as_json = true;
        else if (argv[i][0] == '-' || name != NULL)
            return trouble("destinations takes open or close, one name, and --json");
        else
            name = argv[i];
    }
    fits = buf_put(&request, view_of(verb)) &&
           (name == NULL || control_put(&request, "name", view_of(name)));
    if (!fits)
        return trouble("this is too long for a name");
    if (control_open(&control, s, &why) < 0 || control_ask(&control, buf_view(&request), &why) < 0)
        return trouble("%s", why.text);
    status = read_answer(&control, verb, name != NULL, as_json);
    control_close(&control);
    return status;
}
