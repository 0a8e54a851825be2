/* tern reroute: what another configuration would change for the mail that waits. */
#include "tools/commands.h"
#include "tools/control.h"

#include "common/attrs.h"
#include "common/text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* What is counted, and shown at the end. */
struct tally {
    const struct settings *next;
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

static void look_at_recipient(struct tally *t, const struct json_node *mail,
                              const struct json_node *rcpt)
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
    if (address_parse(text_of(rcpt, "addr"), true, &a) &&
        settings_hop(t->next, &e, &a, &name, &hop))
        to = hop.name;
    if (view_equal(to, text_of(rcpt, "destination")))
        return;
    t->moved++;
    print_move(t, mail, rcpt, to);
}

static int hear_mail(void *of, const struct json_node *n)
{
    const struct json_node *rcpts = json_get(n, "rcpts");

    for (size_t i = 0; i < json_count(rcpts); i++)
        look_at_recipient(of, n, json_at(rcpts, i));
    return 0;
}

static int look_at_all(const struct settings *s, struct tally *t)
{
    const struct control_listener to = { .hear = hear_mail, .of = t };
    int status = control_call(s, VIEW("show all=1"), &to, NULL);

    if (status != 0)
        return status;
    if (t->json)
        printf("{\"v\":1,\"recipients\":%llu,\"moved\":%llu}\n", t->recipients, t->moved);
    else
        printf("%llu of %llu recipients would go elsewhere\n", t->moved, t->recipients);
    return EXIT_SUCCESS;
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
    t->next = &next;
    status = config_error_count(c) > 0
                 ? trouble("%s has mistakes: a reload would keep what there is", path)
                 : look_at_all(s, t);
    settings_release(&next);
    config_free(&c);
    return status;
}

int command_reroute(const struct invocation *in)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "config", required_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    struct tally t = { .json = in->json };
    const char *path = in->path;
    bool dry = false;
    int option;

    optind = 0;
    while ((option = getopt_long(in->argc, in->argv, "", options, NULL)) != -1) {
        if (option == 'n')
            dry = true;
        else if (option == 'c')
            path = optarg;
        else
            return EXIT_WRONG_USE;
    }
    if (!dry || optind < in->argc)
        return wrong_use("a reload routes all mail again by itself; with --dry-run this tells what "
                         "it would change");
    return compare(in->settings, path, &t);
}
