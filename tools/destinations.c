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
    print_field(buf_len(out) > 0 ? " last failure " : "last failure ", n, "last_failure", out);
}

void destination_print_tls(const struct json_node *n, struct buf *out)
{
    print_field("", n, "host", out);
    buf_put(out, VIEW(": STARTTLS failed; where TLS is opportunistic, it gets plain text"));
    print_field(", until ", n, "until", out);
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
    const struct json_node *tls = json_get(n, "tls_missed");

    print_safe(field(n, "destination"));
    putchar('\n');
    print_line(n, "breaker ", destination_print_breaker);
    print_line(n, "", destination_print_limits);
    print_line(n, "", destination_print_mail);
    print_line(n, "", destination_print_past);
    for (size_t i = 0; i < json_count(tls); i++)
        print_line(json_at(tls, i), "", destination_print_tls);
}

static int hear_destination(void *of, const struct json_node *n)
{
    (void)of;
    print_destination(n);
    return 0;
}

/* destinations [NAME], and open NAME, close NAME */
int command_destinations(const struct invocation *in)
{
    const struct control_listener to = { .hear = hear_destination, .as_it_is = in->json };
    const char *name = in->argc > 1 ? in->argv[1] : NULL;
    bool looks = strcmp(in->name, "destinations") == 0;
    unsigned long long matched = 0;
    char room[REQUEST_MAX];
    struct buf request = BUF_ON_ARRAY(room);
    int status;

    if (name == NULL && !looks)
        return wrong_use("%s which destination?", in->name);
    if (in->argc > 2 || (name != NULL && name[0] == '-'))
        return wrong_use("there is one name at most");
    if (!buf_put(&request, view_of(in->name)) ||
        (name != NULL && !control_put(&request, "name", view_of(name))))
        return trouble("this is too long for a name");
    status = control_call(in->settings, buf_view(&request), &to, &matched);
    if (status != 0)
        return status;
    if (!looks)
        print_matched(in, matched, "destination");
    if (name == NULL || matched > 0)
        return EXIT_SUCCESS;
    trouble("the queue has no destination %s: \"tern destinations\" lists them", name);
    return EXIT_NONE_MATCHED;
}
