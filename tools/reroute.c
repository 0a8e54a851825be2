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
    const struct settings *now, *next;
    bool json;
    unsigned long long recipients, moved;
};

static struct view text_of(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

/* Where mail goes, and what it is called in the queue. */
struct way {
    struct view destination, way;
};

static void put_text(const char *key, struct view value, struct buf *line)
{
    buf_printf(line, ",\"%s\":", key);
    json_quote(value, line);
}

static void print_json(const struct json_node *mail, struct view rcpt, const struct way *from,
                       const struct way *to)
{
    static char room[8 * SETTINGS_WAY_MAX];
    struct buf line = BUF_ON_ARRAY(room);

    buf_put(&line, VIEW("{\"v\":1"));
    put_text("id", text_of(mail, "id"), &line);
    put_text("sender", text_of(mail, "sender"), &line);
    put_text("recipient", rcpt, &line);
    put_text("from", from->destination, &line);
    put_text("to", to->destination, &line);
    put_text("from_way", from->way, &line);
    put_text("to_way", to->way, &line);
    printf("%.*s}\n", VIEW_ARG(buf_view(&line)));
}

static void print_way(const char *before, const struct way *w)
{
    fputs(before, stdout);
    print_safe(w->destination);
    fputs(" (", stdout);
    print_safe(w->way);
    putchar(')');
}

static void print_move(const struct tally *t, const struct json_node *mail, struct view rcpt,
                       const struct way *from, const struct way *to)
{
    if (t->json) {
        print_json(mail, rcpt, from, to);
        return;
    }
    print_safe(text_of(mail, "id"));
    putchar(' ');
    print_safe(rcpt);
    print_way(": ", from);
    print_way(" -> ", to);
    putchar('\n');
}

/* What routes ask of a message. */
static struct envelope envelope_of(const struct json_node *mail)
{
    return (struct envelope){ .sender = text_of(mail, "sender"),
                              .login = text_of(mail, "login"),
                              .tags = text_of(mail, "tags"),
                              .route = text_of(mail, "route") };
}

/* `name` and `words` are room. */
static struct way find_way(const struct settings *s, const struct envelope *e, struct view rcpt,
                           struct buf *name, struct buf *words)
{
    struct way w = { VIEW("nowhere"), VIEW("nowhere") };
    struct address a;
    struct hop hop;

    buf_clear(words);
    if (!address_parse(rcpt, true, &a) || !settings_hop(s, e, &a, name, &hop))
        return w;
    settings_print_way(s, &hop, words);
    return (struct way){ hop.name, buf_view(words) };
}

/* The running queue says which way it would go now; where nothing runs, the configuration does. */
static void look_at_recipient(struct tally *t, const struct json_node *mail,
                              const struct json_node *rcpt)
{
    static char now_room[SETTINGS_WAY_MAX], next_room[SETTINGS_WAY_MAX];
    char now_name[2 * ADDRESS_DOMAIN_MAX], next_name[2 * ADDRESS_DOMAIN_MAX];
    struct buf rooms[] = { BUF_ON_ARRAY(now_name), BUF_ON_ARRAY(now_room), BUF_ON_ARRAY(next_name),
                           BUF_ON_ARRAY(next_room) };
    const struct envelope e = envelope_of(mail);
    struct view address = text_of(rcpt, "addr");
    struct way from, to;

    if (text_of(rcpt, "destination").len == 0) /* done */
        return;
    t->recipients++;
    from = find_way(t->now, &e, address, &rooms[0], &rooms[1]);
    from.destination = text_of(rcpt, "destination");
    if (text_of(rcpt, "way").len > 0)
        from.way = text_of(rcpt, "way");
    to = find_way(t->next, &e, address, &rooms[2], &rooms[3]);
    if (view_equal(from.way, to.way))
        return;
    t->moved++;
    print_move(t, mail, address, &from, &to);
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
        printf("%llu of %llu recipients would go another way\n", t->moved, t->recipients);
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
    struct tally t = { .now = in->settings, .json = in->json };
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
