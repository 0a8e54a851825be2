#include "ipc/expand.h"

#include "common/attrs.h"

#include <assert.h>

static const struct view postmaster = VIEW_INIT("postmaster");

/* What an address is: an alias, a mailbox, or neither. */
struct found {
    const struct alias_settings *alias;
    enum mailbox_answer mailbox;
};

static bool is_found(const struct found *f)
{
    return f->alias != NULL || f->mailbox != MAILBOX_NONE;
}

static const struct alias_settings *find_alias(const struct settings *s, struct view key)
{
    struct table_entry *e = table_find(&s->aliases, key);

    return e == NULL ? NULL : container_of(e, struct alias_settings, entry);
}

static const struct domain_settings *own_domain(const struct settings *s, struct view name)
{
    const struct domain_settings *d = settings_domain(s, name);

    return d != NULL && d->deliver != DOMAIN_RELAY ? d : NULL;
}

bool expand_is_ours(const struct settings *s, const struct address *a)
{
    return !a->literal && (a->domain.len == 0 || own_domain(s, a->domain) != NULL);
}

/* Exactly this address: its own alias, its mailbox, and, where there are mailboxes, the alias of
 * that name in all such domains. */
static struct found look(const struct expansion *x, const struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);
    const struct domain_settings *d = own_domain(x->settings, a->domain);
    struct found f = { 0 };
    struct view bare;

    if (d == NULL || !address_key(a, &key))
        return f;
    f.alias = find_alias(x->settings, buf_view(&key));
    if (f.alias == NULL)
        f.mailbox = x->has_mailbox(x->settings, a);
    bare = view_sub(buf_view(&key), 0, view_find_last(buf_view(&key), '@'));
    if (!is_found(&f) && d->deliver == DOMAIN_LOCAL)
        f.alias = find_alias(x->settings, bare);
    return f;
}

static struct found look_without_detail(const struct expansion *x, const struct address *a)
{
    struct address base = *a;
    struct found f = look(x, a);

    if (!is_found(&f) && settings_drop_detail(x->settings, &base))
        f = look(x, &base);
    return f;
}

/* RFC 5321, 4.5.1: the postmaster of every domain, and the one without a domain. */
static struct found find_postmaster(const struct expansion *x)
{
    struct found f = { .alias = find_alias(x->settings, postmaster) };

    if (f.alias == NULL && table_find(&x->settings->mailboxes, postmaster) != NULL)
        f.mailbox = MAILBOX_HERE;
    return f;
}

static struct found find_any_postmaster(const struct expansion *x)
{
    struct found f = { 0 };

    for (size_t i = 0; i < x->settings->domain_count && !is_found(&f); i++) {
        struct address a = { .local = postmaster, .domain = x->settings->domain_list[i]->name };

        f = look(x, &a);
    }
    return f;
}

static struct found find_catch_all(const struct expansion *x, struct view domain)
{
    char room[ADDRESS_DOMAIN_MAX + 1];
    struct buf key = BUF_ON_ARRAY(room);
    struct found f = { 0 };

    buf_put_byte(&key, '@');
    for (size_t i = 0; i < domain.len; i++)
        buf_put_byte(&key, byte_lower(domain.ptr[i]));
    if (domain.len > 0 && !key.overflowed)
        f.alias = find_alias(x->settings, buf_view(&key));
    return f;
}

/* Somebody has to read what is said about abuse (RFC 2142, 4): if nobody else, the postmaster. */
static struct found find_always(const struct expansion *x, const struct address *a)
{
    struct address pm = { .local = postmaster, .domain = a->domain };
    struct found f = { 0 };

    if (view_equal_nocase(a->local, VIEW("abuse")))
        f = look_without_detail(x, &pm);
    else if (!view_equal_nocase(a->local, postmaster))
        return f;
    return is_found(&f) ? f : find_postmaster(x);
}

static struct found resolve(const struct expansion *x, const struct address *a)
{
    bool always =
        view_equal_nocase(a->local, postmaster) || view_equal_nocase(a->local, VIEW("abuse"));
    struct found f = look_without_detail(x, a);

    if (!is_found(&f))
        f = find_always(x, a);
    if (!is_found(&f))
        f = find_catch_all(x, a->domain);
    if (!is_found(&f) && always)
        f = find_any_postmaster(x);
    return f;
}

static enum expand_result add(struct expansion *x, const struct address *a)
{
    return x->add(x, a) ? EXPAND_DONE : EXPAND_TOO_MANY;
}

/* A target without a domain is in the domain of the address that the alias was found for, else in
 * the first that has it. */
static void qualify(const struct expansion *x, struct view local, struct view domain,
                    struct address *out)
{
    const struct settings *s = x->settings;
    struct found f;

    *out = (struct address){ .local = local, .domain = domain };
    f = look_without_detail(x, out);
    for (size_t i = 0; i < s->domain_count && !is_found(&f); i++) {
        struct address other = { .local = local, .domain = s->domain_list[i]->name };

        f = look_without_detail(x, &other);
        if (is_found(&f))
            *out = other;
    }
    if (out->domain.len == 0 && s->domain_count > 0)
        out->domain = s->domain_list[0]->name;
}

static bool is_on_path(const struct expansion *x, const struct alias_settings *alias)
{
    for (unsigned i = 0; i < x->depth; i++) {
        if (x->path[i] == alias)
            return true;
    }
    return false;
}

static enum expand_result visit(struct expansion *x, const struct address *a);

/* What is no alias, or is one that leads to itself. When nobody has it, and the alias reaches
 * others, the sender hears of it. */
static enum expand_result visit_mailbox(struct expansion *x, const struct address *a,
                                        enum mailbox_answer mailbox)
{
    if (mailbox == MAILBOX_HERE)
        return add(x, a);
    if (mailbox == MAILBOX_UNSURE)
        return EXPAND_UNSURE;
    return x->depth > 0 && !x->add(x, a) ? EXPAND_TOO_MANY : EXPAND_UNKNOWN;
}

/* "ann: ann, bob@b.test" keeps ann's mailbox. */
static enum expand_result visit_itself(struct expansion *x, const struct address *a)
{
    enum mailbox_answer mailbox = x->has_mailbox(x->settings, a);
    struct address base = *a;

    if (mailbox == MAILBOX_NONE && settings_drop_detail(x->settings, &base))
        mailbox = x->has_mailbox(x->settings, &base);
    return visit_mailbox(x, a, mailbox);
}

static enum expand_result visit_target(struct expansion *x, struct view target, struct view domain)
{
    char room[ADDRESS_MAX + 2];
    struct buf text = BUF_ON_ARRAY(room);
    struct address a;

    if (address_parse(target, true, &a) && a.domain.len > 0)
        return visit(x, &a);
    qualify(x, target, domain, &a);
    /* Whoever takes it wants it in one piece. */
    if (!buf_printf(&text, "%.*s@%.*s", VIEW_ARG(target), VIEW_ARG(a.domain)) ||
        !address_parse(buf_view(&text), true, &a))
        return EXPAND_UNKNOWN;
    return visit(x, &a);
}

static enum expand_result visit_targets(struct expansion *x, const struct alias_settings *alias,
                                        struct view domain)
{
    enum expand_result best = EXPAND_UNKNOWN;

    for (size_t i = 0; i < alias->target_count; i++) {
        enum expand_result r = visit_target(x, alias->targets[i], domain);

        if (r == EXPAND_LOOP || r == EXPAND_TOO_MANY || r == EXPAND_UNSURE)
            return r;
        if (r == EXPAND_DONE)
            best = EXPAND_DONE;
    }
    return best;
}

static enum expand_result visit_alias(struct expansion *x, const struct alias_settings *alias,
                                      const struct address *a)
{
    enum expand_result r;

    if (x->depth > 0 && x->path[x->depth - 1] == alias)
        return visit_itself(x, a);
    if (x->depth == EXPAND_DEPTH_MAX || is_on_path(x, alias))
        return EXPAND_LOOP;
    x->path[x->depth++] = alias;
    x->aliased = true;
    r = visit_targets(x, alias, a->domain);
    x->depth--;
    return r;
}

static enum expand_result visit(struct expansion *x, const struct address *a)
{
    struct found f;

    if (++x->steps > EXPAND_STEPS_MAX)
        return EXPAND_TOO_MANY;
    if (!expand_is_ours(x->settings, a))
        return add(x, a);
    f = resolve(x, a);
    if (f.alias != NULL)
        return visit_alias(x, f.alias, a);
    return visit_mailbox(x, a, f.mailbox);
}

enum expand_result expand_rcpt(struct expansion *x, const struct address *rcpt)
{
    x->depth = x->steps = 0;
    x->aliased = false;
    return visit(x, rcpt);
}

enum expand_result expand_look(const struct expansion *x, const struct address *rcpt)
{
    struct found f = resolve(x, rcpt);

    if (f.mailbox == MAILBOX_UNSURE)
        return EXPAND_UNSURE;
    return is_found(&f) ? EXPAND_DONE : EXPAND_UNKNOWN;
}
