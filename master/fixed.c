#include "master/fixed.h"

#include <errno.h>
#include <unistd.h>

/* `node` is where it stands; NULL: it stands there no more. */
static int refuse(struct generation *next, struct config_node *node, const char *words,
                  struct error *err)
{
    struct config *c = next->config;
    size_t before = config_errors(c).len; /* warnings, which have been said */
    struct view told;

    config_report(c, node, "%s", words);
    told = view_from(config_errors(c), before);
    (void)!write(STDERR_FILENO, told.ptr, told.len);
    return node == NULL ? error_set(err, -EINVAL, "%s", words)
                        : error_set(err, -EINVAL, "%s: %s", config_origin(c, node), words);
}

/* smtpd would send messages of a size that the queue has no room for. */
static int check_queue(const struct settings *now, struct generation *next, struct error *err)
{
    const struct spool_settings *a = &now->spool, *b = &next->settings.spool;
    const struct {
        const char *section, *key;
        bool changes;
    } items[] = {
        { NULL, "control", !view_equal(now->control, next->settings.control) },
        { "spool", "path", !view_equal(a->path, b->path) },
        { "spool", "segment", a->segment_bytes != b->segment_bytes },
        { "spool", "big-body", a->big_body_bytes != b->big_body_bytes },
        { "spool", "reserve", a->reserve_bytes != b->reserve_bytes },
        { "spool", "recycle", a->recycle != b->recycle },
    };
    struct config_node *root = config_root(next->config);
    char room[100];
    struct buf words = buf_on(room, sizeof(room) - 1);

    for (size_t i = 0; i < COUNT_OF(items); i++) {
        const char *section = items[i].section;

        if (!items[i].changes)
            continue;
        buf_printf(&words, "%s%s%s cannot change while Tern runs: restart it%c",
                   section != NULL ? section : "", section != NULL ? "." : "", items[i].key, '\0');
        return refuse(
            next, config_find(section != NULL ? config_find(root, section) : root, items[i].key),
            room, err);
    }
    return 0;
}

static struct config_node *find_command(struct generation *g)
{
    size_t i = 0;

    while (g->settings.routes[i].auth_command.len == 0)
        i++;
    return config_find(config_at(config_find(config_root(g->config), "routes"), i),
                       "auth-token-command");
}

/* Who runs them was begun with less behind bars than now, and as the user of then. */
static int check_commands(struct generation *next, const struct tokens *t, struct error *err)
{
    if (!tokens_can_serve(t, next))
        return refuse(next, find_command(next),
                      "the first auth-token-command needs tern-tokens, which is begun when Tern "
                      "starts: restart it",
                      err);
    if (!settings_has_commands(&next->settings) || next->users[TOKENS].uid == t->uid)
        return 0;
    return refuse(next, config_find(config_find(config_root(next->config), "users"), "tokens"),
                  "users.tokens cannot change while Tern runs: restart it", err);
}

int fixed_check(const struct generation *now, struct generation *next, const struct tokens *t,
                struct error *err)
{
    int result = check_queue(&now->settings, next, err);

    return result < 0 ? result : check_commands(next, t, err);
}
