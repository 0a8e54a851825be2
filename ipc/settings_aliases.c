/* Aliases: those of the configuration itself, and files in the format of aliases(5). */
#include "common/attrs.h"
#include "io/config_node.h"
#include "ipc/settings.h"
#include "ipc/settings_rows.h"
#include "mail/aliases.h"

#include <stdio.h>

enum {
    INCLUDE_DEPTH_MAX = 10, /* files that include files */
    TARGETS_MAX = 100000,   /* of one alias, with what it includes */
};

/* Where an alias is read: the place of its words, for reports. In a file it is found when it is
 * needed, from where it was looked for last. */
struct place {
    struct config_node node;
    const char *line; /* where node.line begins; NULL: not in a file */
};

struct reading {
    struct config *c;
    struct settings *s;
    struct view *targets; /* of the alias that is being read; grows */
    size_t count, room;
    struct view including[INCLUDE_DEPTH_MAX]; /* paths */
    size_t depth;
};

static struct config_node *node_at(struct place *p, struct view words)
{
    if (p->line == NULL)
        return &p->node;
    if (words.ptr < p->line) {
        p->line = p->node.file->bytes.ptr;
        p->node.line = 1;
    }
    for (const char *at = p->line; at < words.ptr; at++) {
        if (*at == '\n') {
            p->node.line++;
            p->line = at + 1;
        }
    }
    p->node.column = (unsigned)(words.ptr - p->line) + 1;
    p->node.span = words.len;
    return &p->node;
}

static struct place place_in_file(struct config *c, const char *name, struct view bytes)
{
    struct config_file *file = config_alloc(c, 1, sizeof(*file));

    file->name = name;
    file->bytes = bytes;
    return (struct place){ .node = { .file = file, .line = 1 }, .line = bytes.ptr };
}

/* ---- targets ---- */

/* An address, or its local part: as it is looked up, in one piece. */
static bool parse_target(struct view text, struct address *a, struct view *domain_free)
{
    char room[ADDRESS_MAX + 8];
    struct buf whole = BUF_ON_ARRAY(room);

    *domain_free = VIEW_EMPTY;
    if (address_parse(text, true, a) && a->domain.len > 0)
        return true;
    /* "\ann" of old: ann. */
    (void)view_take_byte(&text, '\\');
    *domain_free = text;
    return buf_printf(&whole, "%.*s@a.test", VIEW_ARG(text)) &&
           address_parse(buf_view(&whole), true, a) && a->local.len == text.len;
}

static void keep_target(struct reading *r, struct place *p, struct view words, struct view target)
{
    struct view *grown;

    if (r->count == TARGETS_MAX) {
        config_report(r->c, node_at(p, words), "more than %d addresses in one alias", TARGETS_MAX);
        return;
    }
    if (r->count == r->room) {
        r->room = r->room == 0 ? 4 : r->room * 2;
        grown = config_alloc(r->c, r->room, sizeof(*grown));
        for (size_t i = 0; i < r->count; i++)
            grown[i] = r->targets[i];
        r->targets = grown;
    }
    r->targets[r->count++] = target;
}

static void read_targets(struct reading *r, struct place *p, struct view text);

static void read_include(struct reading *r, struct place *p, struct view words, struct view path)
{
    char name[4096];
    struct view bytes;
    struct place inside;

    for (size_t i = 0; i < r->depth; i++) {
        if (view_equal(r->including[i], path)) {
            config_report(r->c, node_at(p, words), "%.*s includes itself", VIEW_ARG(path));
            return;
        }
    }
    if (r->depth == INCLUDE_DEPTH_MAX) {
        config_report(r->c, node_at(p, words), "more than %d files that include each other",
                      INCLUDE_DEPTH_MAX);
        return;
    }
    (void)snprintf(name, sizeof(name), SETTINGS_ALIASES_PREFIX "%.*s", VIEW_ARG(path));
    if (!config_attachment(r->c, name, &bytes)) /* what could not be read was reported */
        return;
    inside = place_in_file(
        r->c, settings_copy(r->c, name + sizeof(SETTINGS_ALIASES_PREFIX) - 1, path.len + 1), bytes);
    r->including[r->depth++] = path;
    read_targets(r, &inside, bytes);
    r->depth--;
}

static void read_target(struct reading *r, struct place *p, struct view words)
{
    struct view path = words, local;
    struct address a;

    if (aliases_take_include(&path)) {
        if (view_starts(path, VIEW("/")))
            read_include(r, p, words, path);
        else
            config_report(r->c, node_at(p, words), "expected :include:/the/path of a file");
    } else if (aliases_is_program(words)) {
        config_report(r->c, node_at(p, words),
                      "Tern runs no programs: give the address a mailbox and let the program read "
                      "that");
    } else if (aliases_is_file(words)) {
        config_report(r->c, node_at(p, words),
                      "Tern writes to mailboxes only: give the address one, under mailboxes");
    } else if (parse_target(words, &a, &local)) {
        keep_target(r, p, words, local.len > 0 ? local : words);
    } else {
        config_report(r->c, node_at(p, words), "expected an address, or the part before its @");
    }
}

static void read_targets(struct reading *r, struct place *p, struct view text)
{
    struct view target;

    while (aliases_take_target(&text, &target))
        read_target(r, p, target);
}

/* ---- names ---- */

/* What an alias is found by: "local@domain", "local" or "@domain", in lower case. */
static bool make_key(struct config *c, struct view name, struct view *key, struct view *domain)
{
    char room[ADDRESS_MAX + 8];
    struct buf text = BUF_ON_ARRAY(room), out;
    bool catch_all = view_starts(name, VIEW("@"));
    bool bare = !catch_all && (!view_has(name, '@') || name.ptr[name.len - 1] == '"');
    struct address a;

    if (!buf_printf(&text, "%s%.*s%s", catch_all ? "x" : "", VIEW_ARG(name), bare ? "@x" : "") ||
        !address_parse(buf_view(&text), true, &a) || a.literal || a.domain.len == 0)
        return false;
    out = buf_on(config_alloc(c, 1, ADDRESS_MAX + 2), ADDRESS_MAX + 2);
    if (!address_key(&a, &out))
        return false;
    *key = buf_view(&out);
    if (catch_all)
        *key = view_from(*key, 1);
    if (bare)
        key->len -= 2;
    *domain = bare ? VIEW_EMPTY : view_from(*key, view_find_last(*key, '@') + 1);
    return true;
}

static void add_alias(struct reading *r, struct place *p, struct view name)
{
    struct alias_settings *alias;
    const struct domain_settings *d;
    struct table_entry *earlier;
    struct view key, domain;

    if (!make_key(r->c, name, &key, &domain)) {
        config_report(
            r->c, node_at(p, name),
            "expected the alias' name: bob, bob@example.org, or @example.org for all that "
            "nobody else has");
        return;
    }
    d = settings_domain(r->s, domain);
    if (domain.len > 0 && (d == NULL || d->deliver == DOMAIN_RELAY)) {
        config_report(r->c, node_at(p, name),
                      "%.*s is not a domain with \"deliver: maildir\" or \"deliver: aliases\"",
                      VIEW_ARG(domain));
        return;
    }
    earlier = table_find(&r->s->aliases, key);
    if (earlier != NULL) {
        config_report(r->c, node_at(p, name), "%.*s is given twice, first at %s", VIEW_ARG(name),
                      container_of(earlier, struct alias_settings, entry)->origin);
        return;
    }
    if (r->count == 0) {
        config_report(r->c, node_at(p, name), "%.*s leads nowhere: name an address",
                      VIEW_ARG(name));
        return;
    }
    alias = config_alloc(r->c, 1, sizeof(*alias));
    alias->name = key;
    alias->targets = r->targets;
    alias->target_count = r->count;
    alias->node = settings_copy(r->c, node_at(p, name), sizeof(*alias->node));
    alias->origin = config_origin(r->c, alias->node);
    table_add(&r->s->aliases, &alias->entry, key);
}

/* ---- the configuration's own ---- */

static void begin_alias(struct reading *r)
{
    r->targets = NULL;
    r->count = r->room = r->depth = 0;
}

static void read_value(struct reading *r, struct config_node *n)
{
    struct place place = { .node = *n };
    struct view text;

    if (config_scalar(n, &text))
        read_targets(r, &place, text);
    else
        config_report(r->c, n, "expected an address, or a list of addresses");
}

void settings_read_aliases(struct config *c, struct config_node *n, void *section)
{
    struct reading r = { .c = c, .s = section };
    unsigned mistakes;

    if (!config_is_map(n)) {
        config_report(c, n, "expected aliases, \"sales@example.org: [ann@example.org, bob]\"");
        return;
    }
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node *value = config_at(n, i);
        struct place key = { .node = *config_key_at(n, i) };

        begin_alias(&r);
        mistakes = config_error_count(c);
        for (size_t j = 0; config_is_list(value) && j < config_count(value); j++)
            read_value(&r, config_at(value, j));
        if (!config_is_list(value))
            read_value(&r, value);
        if (config_error_count(c) == mistakes)
            add_alias(&r, &key, key.node.text);
    }
}

/* ---- files ---- */

static void read_file(struct reading *r, const char *name, struct view text)
{
    struct place place = place_in_file(r->c, name, text);
    struct view alias, targets;
    enum aliases_result result;

    while ((result = aliases_take_entry(&text, &alias, &targets)) != ALIASES_END) {
        unsigned mistakes = config_error_count(r->c);

        if (result == ALIASES_MALFORMED) {
            config_report(r->c, node_at(&place, targets),
                          "expected \"name: address, address ...\"");
            continue;
        }
        begin_alias(r);
        read_targets(r, &place, targets);
        if (config_error_count(r->c) == mistakes)
            add_alias(r, &place, alias);
    }
}

void settings_read_alias_files(struct config *c, struct config_node *n, void *section)
{
    struct reading r = { .c = c, .s = section };
    struct view path, text;
    char name[4096];

    if (!config_is_list(n)) {
        config_report(c, n, "expected a list of paths, \"[/etc/aliases]\"");
        return;
    }
    for (size_t i = 0; i < config_count(n); i++) {
        if (!config_scalar(config_at(n, i), &path) || !view_starts(path, VIEW("/"))) {
            config_report(c, config_at(n, i), "expected the absolute path of a file");
            continue;
        }
        (void)snprintf(name, sizeof(name), SETTINGS_ALIASES_PREFIX "%.*s", VIEW_ARG(path));
        if (config_attachment(c, name, &text))
            read_file(&r,
                      settings_copy(c, name + sizeof(SETTINGS_ALIASES_PREFIX) - 1, path.len + 1),
                      text);
    }
}

void settings_read_detail(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;

    if (!config_scalar(n, &s->detail))
        s->detail = VIEW_EMPTY;
    for (size_t i = 0; i < s->detail.len; i++) {
        if (!view_has(VIEW("+-_=#"), s->detail.ptr[i])) {
            config_report(c, n, "expected some of + - _ = #, or \"\" for none");
            s->detail = VIEW_EMPTY;
        }
    }
}

bool settings_drop_detail(const struct settings *s, struct address *a)
{
    if (a->local.len == 0 || a->local.ptr[0] == '"')
        return false;
    for (size_t i = 1; i < a->local.len; i++) {
        if (view_has(s->detail, a->local.ptr[i])) {
            a->local.len = i;
            return true;
        }
    }
    return false;
}
