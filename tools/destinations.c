#include "tools/destinations.h"

#include "tools/commands.h"
#include "tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REQUEST_MAX = 4096,
    LINE_MAX_BYTES = 16384, /* twenty domains, and a reply */
};

static struct view field(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

static unsigned long long number(const struct json_node *n, const char *key)
{
    return json_number(json_get(n, key));
}

static void print_field(const char *before, const struct json_node *n, const char *key,
                        struct buf *out)
{
    if (field(n, key).len > 0)
        buf_printf(out, "%s%.*s", before, VIEW_ARG(field(n, key)));
}

void destination_print_breaker(const struct json_node *n, struct buf *out)
{
    print_field("", n, "breaker", out);
    print_field(" since ", n, "since", out);
    print_field(", next probe ", n, "next_at", out);
    print_field(field(n, "since").len > 0 ? ": " : ", last trouble: ", n, "cause", out);
}

static void print_rate(const struct json_node *n, const char *key, const char *what,
                       struct buf *out)
{
    const struct json_node *rate = json_get(n, key);

    if (rate != NULL)
        buf_printf(out, ", %llu %s in %llums", number(rate, "count"), what,
                   number(rate, "period_ms"));
}

void destination_print_limits(const struct json_node *n, struct buf *out)
{
    buf_printf(out, "connections %llu of %llu, %llu running, %llu messages each",
               number(n, "connections"), number(n, "connections_most"), number(n, "running"),
               number(n, "messages_per_connection"));
    print_rate(n, "message_rate", "messages", out);
    print_rate(n, "recipient_rate", "recipients", out);
    print_rate(n, "connection_rate", "attempts to connect", out);
}

void destination_print_mail(const struct json_node *n, struct buf *out)
{
    const struct json_node *domains = json_get(n, "domains");
    unsigned long long count = number(n, "domain_count");

    buf_printf(out, "waiting %llu of %llu, for", number(n, "waiting"), number(n, "deliveries"));
    for (size_t i = 0; i < json_count(domains); i++)
        buf_printf(out, " %.*s", VIEW_ARG(json_text(json_at(domains, i))));
    if (count > json_count(domains))
        buf_printf(out, " and %llu more", count - json_count(domains));
}

void destination_print_past(const struct json_node *n, struct buf *out)
{
    print_field("last success ", n, "last_success", out);
    print_field(field(n, "last_success").len > 0 ? " last failure " : "last failure ", n,
                "last_failure", out);
}

static void print_line(const struct json_node *n, const char *label,
                       void (*print)(const struct json_node *n, struct buf *out))
{
    char room[LINE_MAX_BYTES];
    struct buf line = BUF_ON_ARRAY(room);

    print(n, &line);
    if (buf_len(&line) == 0)
        return;
    printf("    %s", label);
    print_safe(buf_view(&line));
    putchar('\n');
}

static void print_destination(const struct json_node *n)
{
    print_safe(field(n, "destination"));
    putchar('\n');
    print_line(n, "breaker ", destination_print_breaker);
    print_line(n, "", destination_print_limits);
    print_line(n, "", destination_print_mail);
    print_line(n, "", destination_print_past);
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
