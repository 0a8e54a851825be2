#include "common/attrs.h"
#include "ipc/settings_rows.h"

#include <stdio.h>

static const char *const deliver_words[] = { "maildir", "relay", "aliases", NULL };
static const char *const mailboxes_words[] = { "listed", "directory", NULL };

/* A domain as it is written, before it becomes a struct domain_settings. */
struct domain_row {
    unsigned deliver;   /* enum domain_kind */
    unsigned mailboxes; /* 1: directory */
};

/* clang-format off */
static const struct config_item domain_items[] = {
    CHOICE("deliver", struct domain_row, deliver, deliver_words, NULL,
           "maildir: to mailboxes here; relay: accept it and send it on; aliases: to where aliases lead"),
    CHOICE("mailboxes", struct domain_row, mailboxes, mailboxes_words, "listed",
           "listed: those under mailboxes; directory: also each folder of maildir.root/DOMAIN"),
};
/* clang-format on */

const struct settings_table settings_domains = { "domains", domain_items, COUNT_OF(domain_items) };

static void add_domain(struct config *c, struct settings *s, struct config_node *key,
                       const struct domain_row *row)
{
    struct domain_settings *d = config_alloc(c, 1, sizeof(*d));
    const struct domain_settings *earlier;

    if (!config_scalar(key, &d->name) || !domain_valid(d->name, true)) {
        config_report(c, key, "expected the name of a domain");
        return;
    }
    earlier = settings_domain(s, d->name);
    if (earlier != NULL) {
        config_report(c, key, "%.*s is given twice, first at %s", VIEW_ARG(d->name),
                      earlier->origin);
        return;
    }
    d->deliver = row->deliver;
    d->directory = row->mailboxes == 1;
    d->origin = config_origin(c, key);
    d->node = key;
    if (d->directory && d->deliver != DOMAIN_LOCAL)
        config_report(c, key, "mailboxes are for domains with \"deliver: maildir\" only");
    table_add(&s->domains, &d->entry, d->name);
    s->domain_list[s->domain_count++] = d;
}

void settings_read_domains(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;
    size_t count = config_count(n);

    if (!config_is_map(n)) {
        config_report(c, n, "expected domains, \"example.org: { deliver: maildir }\"");
        return;
    }
    s->domain_list = config_alloc(c, MAX(count, 1), sizeof(struct domain_settings *));
    for (size_t i = 0; i < count; i++) {
        struct domain_row row = { 0 };

        config_section(c, config_at(n, i), domain_items, COUNT_OF(domain_items), &row);
        add_domain(c, s, config_key_at(n, i), &row);
    }
}

/* Mailboxes */

static bool is_folder_name(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        bool small = name.ptr[i] >= 'a' && name.ptr[i] <= 'z';

        if (!small && !byte_is_digit(name.ptr[i]) && !view_has(VIEW("._-+@"), name.ptr[i]))
            return false;
    }
    return name.len > 0 && name.len <= 255 && name.ptr[0] != '.';
}

static bool read_folder(struct config *c, struct config_node *n, struct mailbox_settings *m)
{
    struct view rest, first;

    if (config_scalar(n, &m->folder)) {
        rest = m->folder;
        first = view_take_until(&rest, '/');
        if (is_folder_name(first) && (first.len == m->folder.len || is_folder_name(rest)))
            return true;
    }
    config_report(c, n,
                  "expected a folder such as bob or example.org/bob: one or two names of "
                  "a-z 0-9 . _ - + @ that do not begin with a dot");
    return false;
}

/* The key of an exact address; "postmaster" alone is the postmaster of every domain. */
static bool make_key(struct config *c, struct view text, struct view *key, struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf b = BUF_ON_ARRAY(room);

    if (view_equal_nocase(text, VIEW("postmaster"))) {
        *a = (struct address){ .local = text };
        *key = settings_lower(c, text);
        return true;
    }
    if (!address_parse(text, true, a) || a->literal || !address_key(a, &b))
        return false;
    *key = view_make(settings_copy(c, room, sizeof(room)), buf_len(&b));
    return true;
}

static void add_mailbox(struct config *c, struct settings *s, struct config_node *key,
                        struct mailbox_settings *m)
{
    struct address a;
    struct view name;
    const struct domain_settings *d;
    struct table_entry *earlier;

    if (!make_key(c, m->address, &name, &a)) {
        config_report(c, key, "expected an address, or a pattern such as /sales-.*@example\\.org/");
        return;
    }
    d = settings_domain(s, a.domain);
    if (a.domain.len > 0 && (d == NULL || d->deliver != DOMAIN_LOCAL)) {
        config_report(c, key, "%.*s is not a domain with \"deliver: maildir\"", VIEW_ARG(a.domain));
        return;
    }
    earlier = table_find(&s->mailboxes, name);
    if (earlier != NULL) {
        config_report(c, key, "%.*s is given twice, first at %s", VIEW_ARG(m->address),
                      container_of(earlier, struct mailbox_settings, entry)->origin);
        return;
    }
    table_add(&s->mailboxes, &m->entry, name);
}

bool settings_take_pattern(struct view *text)
{
    if (text->len <= 2 || text->ptr[0] != '/' || text->ptr[text->len - 1] != '/')
        return false;
    *text = view_sub(*text, 1, text->len - 2);
    return true;
}

/* Stands behind "domains" in the table: those are known by now. */
void settings_read_mailboxes(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;
    size_t count = config_count(n);

    if (!config_is_map(n)) {
        config_report(c, n, "expected mailboxes, \"bob@example.org: bob\"");
        return;
    }
    s->patterns = config_alloc(c, MAX(count, 1), sizeof(struct mailbox_settings *));
    for (size_t i = 0; i < count; i++) {
        struct mailbox_settings *m = config_alloc(c, 1, sizeof(*m));
        struct config_node *key = config_key_at(n, i);
        struct view text;

        m->origin = config_origin(c, key);
        if (!read_folder(c, config_at(n, i), m) || !config_scalar(key, &m->address))
            continue;
        text = m->address;
        if (settings_take_pattern(&text))
            s->patterns[s->pattern_count++] = m;
        else
            add_mailbox(c, s, key, m);
    }
}

/* The folders of a directory domain, one on a line, as settings_gather found them. */
static void read_folders(struct config *c, struct settings *s, const struct domain_settings *d)
{
    struct view domain = settings_lower(c, d->name);
    struct view list, name, key;
    char room[ADDRESS_MAX * 2];
    struct address a;

    (void)snprintf(room, sizeof(room), "folders/%.*s", VIEW_ARG(domain));
    if (!config_attachment(c, room, &list))
        return;
    while (view_take_line(&list, &name)) {
        struct buf path = BUF_ON_ARRAY(room);
        struct mailbox_settings *m;

        if (!is_folder_name(name) ||
            !buf_printf(&path, "%.*s@%.*s", VIEW_ARG(name), VIEW_ARG(domain)) ||
            !make_key(c, buf_view(&path), &key, &a) || table_find(&s->folders, key) != NULL)
            continue;
        m = config_alloc(c, 1, sizeof(*m));
        buf_clear(&path);
        buf_printf(&path, "%.*s/%.*s", VIEW_ARG(domain), VIEW_ARG(name));
        m->address = key;
        m->folder = view_make(settings_copy(c, room, buf_len(&path)), buf_len(&path));
        m->origin = d->origin;
        table_add(&s->folders, &m->entry, key);
    }
}

void settings_read_folders(struct config *c, struct settings *s)
{
    for (size_t i = 0; i < s->domain_count; i++) {
        if (s->domain_list[i]->directory)
            read_folders(c, s, s->domain_list[i]);
    }
}
