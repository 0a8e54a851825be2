/* What "tern explain" learns from the queue. */
#include "tools/explain.h"

#include "tools/commands.h"
#include "tools/control.h"
#include "tools/destinations.h"

#include <stdlib.h>

enum { LINE_ROOM = 4096 }; /* bytes of a step */

static struct view text_of(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

/* The recipient's way as the queue has it, and why it waits. */
static void tell_state(struct steps *s, const struct json_node *rcpt, struct view reason)
{
    struct view next = text_of(rcpt, "next_at");
    const struct json_node *last = json_get(rcpt, "last");

    steps_add(s, "queue", NULL, "destination %.*s, %.*s, %.*s attempts%s%.*s",
              VIEW_ARG(text_of(rcpt, "destination")), VIEW_ARG(text_of(rcpt, "state")),
              VIEW_ARG(text_of(rcpt, "attempts")), next.len > 0 ? ", the next at " : "",
              VIEW_ARG(next));
    if (reason.len > 0)
        steps_add(s, "reason", NULL, "%.*s", VIEW_ARG(reason));
    if (last != NULL)
        steps_add(s, "last", NULL, "%.*s: %.*s at %.*s, %.*s%s%.*s", VIEW_ARG(text_of(last, "at")),
                  VIEW_ARG(text_of(last, "class")), VIEW_ARG(text_of(last, "host")),
                  VIEW_ARG(text_of(last, "text")), text_of(last, "tls").len > 0 ? ", TLS: " : "",
                  VIEW_ARG(text_of(last, "tls")));
}

/* ---- destinations ---- */

static void tell_line(struct steps *s, const char *step, const struct json_node *n,
                      void (*print)(const struct json_node *n, struct buf *out))
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);

    print(n, &line);
    if (buf_len(&line) > 0)
        steps_add(s, step, NULL, "%.*s", VIEW_ARG(buf_view(&line)));
}

static void tell_destination(struct steps *s, const struct json_node *n)
{
    struct view hosts = text_of(n, "hosts");
    const struct json_node *tls = json_get(n, "tls_missed");

    if (hosts.len > 0)
        steps_add(s, "hosts", NULL, "%.*s, as the queue learned last, by name", VIEW_ARG(hosts));
    for (size_t i = 0; i < json_count(tls); i++)
        tell_line(s, "starttls", json_at(tls, i), destination_print_tls);
    tell_line(s, "breaker", n, destination_print_breaker);
    tell_line(s, "pace", n, destination_print_limits);
    tell_line(s, "waiting", n, destination_print_mail);
    tell_line(s, "past", n, destination_print_past);
}

static int hear_destination(void *of, const struct json_node *n)
{
    tell_destination(of, n);
    return 0;
}

/* Whatever the queue has under that name. */
static void tell_destinations(struct steps *s, struct control *control, struct view name)
{
    const struct control_listener to = { .hear = hear_destination, .of = s };
    char room[2 * ADDRESS_MAX];
    struct buf request = BUF_ON_ARRAY(room);
    unsigned long long matched;

    buf_put(&request, VIEW("destinations"));
    if (control_put(&request, "name", name) &&
        control_converse(control, buf_view(&request), &to, &matched) == 0 && matched == 0)
        steps_add(s, "breaker", NULL, "closed: the queue has nothing for %.*s", VIEW_ARG(name));
}

/* ---- mail ---- */

/* The first message that waits for somebody there speaks for all: they share the destination. The
 * list is not heard to its end: it may be long. */
struct waiting {
    struct steps *steps;
    struct view domain;
};

static int hear_waiting(void *of, const struct json_node *n)
{
    const struct waiting *w = of;

    steps_add(w->steps, "live", NULL, "mail for %.*s waits (%.*s): %.*s", VIEW_ARG(w->domain),
              VIEW_ARG(text_of(n, "id")), VIEW_ARG(text_of(n, "reason")));
    return EXIT_NONE_MATCHED;
}

static void tell_waiting(struct steps *s, struct control *control, struct view domain)
{
    struct waiting w = { s, domain };
    const struct control_listener to = { .hear = hear_waiting, .of = &w };
    char room[2 * ADDRESS_MAX];
    struct buf request = BUF_ON_ARRAY(room);

    buf_put(&request, VIEW("list"));
    if (control_put(&request, "domain", domain) &&
        control_converse(control, buf_view(&request), &to, NULL) == 0)
        steps_add(s, "live", NULL, "no mail waits for %.*s", VIEW_ARG(domain));
}

static void explain_destination(struct question *q, struct view destination)
{
    struct control control;
    struct error why;

    if (control_reach(&control, q->settings, &why) < 0)
        return;
    tell_destinations(&q->steps, &control, destination);
    control_close(&control);
}

/* Each request has a connection of its own. */
void explain_live(struct question *q, const struct address *a, struct view destination)
{
    struct control control;
    struct error why;

    if (control_reach(&control, q->settings, &why) < 0) {
        steps_add(&q->steps, "live", NULL, "not known, since Tern cannot be asked: %s", why.text);
        return;
    }
    tell_waiting(&q->steps, &control, a->domain);
    control_close(&control);
    explain_destination(q, destination);
}

static void explain_rcpt(struct question *q, const struct json_node *n,
                         const struct json_node *rcpt)
{
    struct view state = text_of(rcpt, "state");
    struct address a;

    steps_begin(&q->steps, q->envelope.sender, text_of(rcpt, "addr"));
    steps_add(&q->steps, "accepted", NULL, "%.*s from %.*s%s%.*s%s%.*s",
              VIEW_ARG(text_of(n, "listener")), VIEW_ARG(text_of(n, "client")),
              q->envelope.login.len > 0 ? ", login " : "", VIEW_ARG(q->envelope.login),
              q->envelope.tags.len > 0 ? ", tags " : "", VIEW_ARG(q->envelope.tags));
    if (text_of(n, "hold").len > 0)
        steps_add(&q->steps, "hold", NULL, "%.*s", VIEW_ARG(text_of(n, "hold")));
    if (view_equal(state, VIEW("done"))) {
        steps_end(&q->steps, "done");
        return;
    }
    if (address_parse(text_of(rcpt, "addr"), true, &a))
        explain_delivery(q, &a);
    tell_state(&q->steps, rcpt, text_of(n, "reason"));
    explain_destination(q, text_of(rcpt, "destination"));
    steps_end(&q->steps, "in the queue");
}

static int hear_message(void *of, const struct json_node *n)
{
    struct question *q = of;
    const struct json_node *rcpts = json_get(n, "rcpts");

    q->live = false; /* the row says it */
    q->envelope =
        (struct envelope){ .sender = text_of(n, "sender"),
                           .login = text_of(n, "login"),
                           .tags = text_of(n, "tags"),
                           .route = text_of(n, "route"),
                           .require_tls = view_equal(text_of(n, "requiretls"), VIEW("true")) };
    for (size_t i = 0; i < json_count(rcpts); i++)
        explain_rcpt(q, n, json_at(rcpts, i));
    return 0;
}

int explain_message(struct question *q, struct view id)
{
    const struct control_listener to = { .hear = hear_message, .of = q };
    char room[256];
    struct buf request = BUF_ON_ARRAY(room);
    unsigned long long matched = 0;
    int status;

    buf_put(&request, VIEW("show"));
    if (!control_put(&request, "id", id))
        return trouble("this is no id");
    status = control_call(q->settings, buf_view(&request), &to, &matched);
    if (status != 0 || matched > 0)
        return status;
    trouble("there is no such message in the queue");
    return EXIT_NONE_MATCHED;
}
