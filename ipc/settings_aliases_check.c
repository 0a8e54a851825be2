/* What only whoever reads the configuration for all looks at: files of aliases, and where aliases
 * lead. It needs PCRE2, for mailboxes that are patterns. */
#include "common/attrs.h"
#include "common/memory.h"
#include "ipc/expand.h"
#include "ipc/settings_rows.h"
#include "mail/aliases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading the files ---- */

static int read_all(int fd, char **bytes, size_t *len)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > CONFIG_FILE_MAX)
        return S_ISREG(st.st_mode) ? -EFBIG : -EISDIR;
    *bytes = memory_new((size_t)st.st_size + 1);
    for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n) {
        n = read(fd, *bytes + *len, (size_t)st.st_size - *len);
        if (n <= 0)
            break;
    }
    return 0;
}

static void gather_includes(struct config *c, struct config_node *place, struct view targets);

/* Attaches the file and what it includes; once each, so that a circle of files ends. */
static bool gather_file(struct config *c, struct config_node *place, struct view path,
                        struct view *bytes)
{
    char name[4096];
    char *text = NULL;
    size_t len = 0;
    int fd, err;

    if (path.len >= sizeof(name) - sizeof(SETTINGS_ALIASES_PREFIX) || view_has(path, '\0')) {
        config_report(c, place, "this path is too long");
        return false;
    }
    (void)snprintf(name, sizeof(name), SETTINGS_ALIASES_PREFIX "%.*s", VIEW_ARG(path));
    if (config_attachment(c, name, bytes))
        return false;
    fd = open(name + sizeof(SETTINGS_ALIASES_PREFIX) - 1,
              O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    err = fd < 0 ? -errno : read_all(fd, &text, &len);
    if (fd >= 0)
        close(fd);
    if (err < 0) {
        config_report(c, place, "cannot read %.*s: %s", VIEW_ARG(path), strerror(-err));
        return false;
    }
    config_attach(c, name, view_make(text, len));
    free(text);
    return config_attachment(c, name, bytes);
}

static void gather_include(struct config *c, struct config_node *place, struct view path)
{
    struct view bytes;

    if (view_starts(path, VIEW("/")) && gather_file(c, place, path, &bytes))
        gather_includes(c, place, bytes);
}

static void gather_includes(struct config *c, struct config_node *place, struct view targets)
{
    struct view target;

    while (aliases_take_target(&targets, &target)) {
        if (aliases_take_include(&target))
            gather_include(c, place, target);
    }
}

static void gather_alias_file(struct config *c, struct config_node *place)
{
    struct view path, text, name, targets;
    enum aliases_result result;

    if (!config_scalar(place, &path) || !view_starts(path, VIEW("/")) ||
        !gather_file(c, place, path, &text))
        return;
    while ((result = aliases_take_entry(&text, &name, &targets)) != ALIASES_END) {
        if (result == ALIASES_NEXT)
            gather_includes(c, place, targets);
    }
}

static void gather_value(struct config *c, struct config_node *n)
{
    struct view text;

    if (config_scalar(n, &text))
        gather_includes(c, n, text);
    for (size_t i = 0; config_is_list(n) && i < config_count(n); i++) {
        if (config_scalar(config_at(n, i), &text))
            gather_includes(c, config_at(n, i), text);
    }
}

void settings_gather_aliases(struct config *c)
{
    struct config_node *files = config_find(config_root(c), "alias-files");
    struct config_node *own = config_find(config_root(c), "aliases");

    for (size_t i = 0; config_is_list(files) && i < config_count(files); i++)
        gather_alias_file(c, config_at(files, i));
    for (size_t i = 0; config_is_map(own) && i < config_count(own); i++)
        gather_value(c, config_at(own, i));
}

/* ---- where aliases lead ---- */

/* Counts the addresses, as a message's envelope would have to hold them. */
struct trial {
    struct expansion expansion;
    uint64_t count;
};

static bool on_add(struct expansion *x, const struct address *a)
{
    (void)a;
    return ++container_of(x, struct trial, expansion)->count <= x->settings->limits.recipients;
}

static enum expand_result try_address(const struct settings *s, const struct address *a)
{
    struct trial t = { .expansion = {
                           .settings = s, .has_mailbox = settings_has_mailbox, .add = on_add } };

    return expand_rcpt(&t.expansion, a);
}

/* An address that the alias is for. False: there is no domain that it could be in. */
static bool example_of(const struct settings *s, const struct alias_settings *alias,
                       struct buf *text, struct address *a)
{
    const struct domain_settings *d = NULL;

    if (view_equal(alias->name, VIEW("postmaster"))) {
        *a = (struct address){ .local = alias->name };
        return true;
    }
    for (size_t i = 0; i < s->domain_count && d == NULL; i++) {
        if (s->domain_list[i]->deliver == DOMAIN_LOCAL)
            d = s->domain_list[i];
    }
    if (view_starts(alias->name, VIEW("@")))
        buf_printf(text, "whoever%.*s", VIEW_ARG(alias->name));
    else if (view_has(alias->name, '@'))
        buf_put(text, alias->name);
    else if (d != NULL)
        buf_printf(text, "%.*s@%.*s", VIEW_ARG(alias->name), VIEW_ARG(d->name));
    return address_parse(buf_view(text), true, a);
}

static void check_alias(struct config *c, const struct settings *s,
                        const struct alias_settings *alias)
{
    char room[2 * ADDRESS_MAX];
    struct buf text = BUF_ON_ARRAY(room);
    struct address a;

    if (!example_of(s, alias, &text, &a)) {
        config_warn(c, alias->node,
                    "the alias %.*s is never used: no domain has \"deliver: maildir\"",
                    VIEW_ARG(alias->name));
        return;
    }
    switch (try_address(s, &a)) {
    case EXPAND_DONE:
    case EXPAND_UNSURE:
        break;
    case EXPAND_UNKNOWN:
        config_warn(c, alias->node, "the alias %.*s leads to nobody: its mail will be refused",
                    VIEW_ARG(alias->name));
        break;
    case EXPAND_LOOP:
        config_report(c, alias->node, "the alias %.*s leads back to itself", VIEW_ARG(alias->name));
        break;
    case EXPAND_TOO_MANY:
        config_report(c, alias->node,
                      "the alias %.*s is for more than %llu addresses, which no message can "
                      "have (limits.recipients)",
                      VIEW_ARG(alias->name), (unsigned long long)s->limits.recipients);
        break;
    }
}

/* Folders come and go while Tern runs: that one is missing must not keep it from starting. */
static void check_postmaster(struct config *c, const struct domain_settings *d,
                             const struct settings *s)
{
    const struct expansion x = { .settings = s, .has_mailbox = settings_has_mailbox };
    const struct address a = { .local = VIEW("postmaster"), .domain = d->name };

    if (d->deliver != DOMAIN_RELAY && expand_look(&x, &a) == EXPAND_UNKNOWN)
        (d->directory ? config_warn : config_report)(
            c, d->node,
            "%.*s has no postmaster, whom other mail servers must reach (RFC 5321, 4.5.1): name "
            "one under mailboxes or aliases, \"postmaster: ann\"",
            VIEW_ARG(d->name));
}

void settings_check_aliases(struct config *c, const struct settings *s)
{
    for (struct table_entry *e = NULL; (e = table_next(&s->aliases, e)) != NULL;)
        check_alias(c, s, container_of(e, struct alias_settings, entry));
    for (size_t i = 0; i < s->domain_count; i++)
        check_postmaster(c, s->domain_list[i], s);
}
