/* tern reroute: what another configuration would change for the mail that waits. */
#include "tools/call.h"
#include "tools/commands.h"

#include "common/attrs.h"
#include "common/text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* What is counted, and shown at the end. */
struct tally {
    bool json;
    unsigned long long recipients, moved;
};

static struct view text_of(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

static void print_move(const struct tally *t, const struct json_node *mail,
                       const struct json_node *rcpt, struct view to)
{
    static const char *const keys[] = { "id", "sender" };
    char room[4096];
    struct buf line = BUF_ON_ARRAY(room);

    if (!t->json) {
        print_safe(text_of(mail, "id"));
        putchar(' ');
        print_safe(text_of(rcpt, "addr"));
        fputs(": ", stdout);
        print_safe(text_of(rcpt, "destination"));
        fputs(" -> ", stdout);
        print_safe(to);
        putchar('\n');
        return;
    }
    buf_put(&line, VIEW("{\"v\":1"));
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        buf_printf(&line, ",\"%s\":", keys[i]);
        json_quote(text_of(mail, keys[i]), &line);
    }
    buf_put(&line, VIEW(",\"recipient\":"));
    json_quote(text_of(rcpt, "addr"), &line);
    buf_put(&line, VIEW(",\"from\":"));
    json_quote(text_of(rcpt, "destination"), &line);
    buf_put(&line, VIEW(",\"to\":"));
    json_quote(to, &line);
    printf("%.*s}\n", VIEW_ARG(buf_view(&line)));
}

/* What routes ask of a message. */
static struct envelope envelope_of(const struct json_node *mail)
{
    return (struct envelope){ .sender = text_of(mail, "sender"),
                              .login = text_of(mail, "login"),
                              .tags = text_of(mail, "tags"),
                              .route = text_of(mail, "route") };
}

static void look_at_recipient(const struct settings *next, struct tally *t,
                              const struct json_node *mail, const struct json_node *rcpt)
{
    const struct envelope e = envelope_of(mail);
    struct view to = VIEW("invalid"); /* where the queue sends what fits no rule */
    char room[2 * ADDRESS_DOMAIN_MAX];
    struct buf name = BUF_ON_ARRAY(room);
    struct address a;
    struct hop hop;

    if (text_of(rcpt, "destination").len == 0) /* done */
        return;
    t->recipients++;
    if (address_parse(text_of(rcpt, "addr"), true, &a) && settings_hop(next, &e, &a, &name, &hop))
        to = hop.name;
    if (view_equal(to, text_of(rcpt, "destination")))
        return;
    t->moved++;
    print_move(t, mail, rcpt, to);
}

static int finish(const struct tally *t, const struct json_node *n)
{
    struct view error = text_of(n, "error");

    if (error.len > 0)
        return trouble("%.*s", VIEW_ARG(error));
    if (t->json)
        printf("{\"v\":1,\"recipients\":%llu,\"moved\":%llu}\n", t->recipients, t->moved);
    else
        printf("%llu of %llu recipients would go elsewhere\n", t->moved, t->recipients);
    return EXIT_SUCCESS;
}

static int look_at_all(const struct settings *next, struct tally *t, struct control *control)
{
    struct view line;

    while (control_read(control, &line)) {
        struct json *j = json_parse(line);
        const struct json_node *n = json_root(j);
        const struct json_node *rcpts = json_get(n, "rcpts");
        bool last = json_get(n, "end") != NULL || json_get(n, "error") != NULL;
        int status = last ? finish(t, n) : 0;

        for (size_t i = 0; !last && i < json_count(rcpts); i++)
            look_at_recipient(next, t, n, json_at(rcpts, i));
        json_free(&j);
        if (last)
            return status;
    }
    return trouble("the queue ended the conversation before its answer was complete");
}

static int ask(const struct settings *s, const struct settings *next, struct tally *t)
{
    static const char *const words[] = { "show", "--all", NULL };
    static char room[CALL_REQUEST_MAX];
    struct call call = { .command = "show", .request = BUF_ON_ARRAY(room) };
    struct control control;
    int status;

    buf_put(&call.request, view_of(call.command));
    status = call_read(&call, 2, (char **)(uintptr_t)words);
    if (status == 0)
        status = call_begin(&call, s, &control);
    if (status != 0)
        return status;
    status = look_at_all(next, t, &control);
    control_close(&control);
    return status;
}

static int compare(const struct settings *s, const char *path, struct tally *t)
{
    struct config *c = config_read(path);
    struct settings next;
    struct view words;
    int status;

    settings_load(&next, c);
    words = config_errors(c);
    fprintf(stderr, "%.*s", VIEW_ARG(words));
    status = config_error_count(c) > 0 ? trouble("%s has mistakes: nothing would change", path)
                                       : ask(s, &next, t);
    settings_release(&next);
    config_free(&c);
    return status;
}

int command_reroute(const struct settings *s, const char *path, int argc, char **argv)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "config", required_argument, NULL, 'c' },
        { "json", no_argument, NULL, 'j' },
        { NULL, 0, NULL, 0 },
    };
    struct tally t = { .json = false };
    bool dry = false;
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'n')
            dry = true;
        else if (option == 'c')
            path = optarg;
        else if (option == 'j')
            t.json = true;
        else
            return EXIT_TROUBLE;
    }
    if (!dry || optind < argc)
        return trouble(
            "a reload routes all mail again by itself; \"tern reroute --dry-run\" tells what "
            "it would change");
    return compare(s, path, &t);
}
