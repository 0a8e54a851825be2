/* Who has a mailbox here. */
#include "common/attrs.h"
#include "io/log.h"
#include "ipc/settings.h"

static const struct view postmaster = VIEW_INIT("postmaster");

/* Stands for the one that there may be. */
static const struct mailbox_settings unsure;

/* Compiled when first needed: a process that never asks for a mailbox does not link PCRE2. What
 * does not compile was reported by settings_gather, and matches nothing. */
static enum pattern_result match(struct mailbox_settings *m, struct view key)
{
    struct view text = m->address;
    enum pattern_result result;
    struct error err;

    if (m->pattern == NULL && settings_take_pattern(&text)) {
        m->pattern = pattern_new(text, &err);
        m->release = pattern_free;
    }
    result = m->pattern == NULL ? PATTERN_NO : pattern_match(m->pattern, key);
    if (result == PATTERN_FAILED)
        log_warn("mailbox_unsure", LOG_STRING("origin", m->origin), LOG_VIEW("address", key),
                 LOG_STRING("reason", "the pattern takes too many steps"));
    return result;
}

static const struct mailbox_settings *find_in(const struct table *t, struct view key)
{
    struct table_entry *e = table_find(t, key);

    return e == NULL ? NULL : container_of(e, struct mailbox_settings, entry);
}

static const struct mailbox_settings *find_mailbox(const struct settings *s, struct view key)
{
    const struct mailbox_settings *m = find_in(&s->mailboxes, key);

    for (size_t i = 0; i < s->pattern_count && m == NULL; i++) {
        enum pattern_result result = match(s->patterns[i], key);

        if (result != PATTERN_NO)
            m = result == PATTERN_YES ? s->patterns[i] : &unsure;
    }
    return m != NULL ? m : find_in(&s->folders, key);
}

static const struct mailbox_settings *find_address(const struct settings *s,
                                                   const struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);

    return address_key(a, &key) ? find_mailbox(s, buf_view(&key)) : NULL;
}

static const struct mailbox_settings *find_postmaster(const struct settings *s)
{
    const struct mailbox_settings *m = find_in(&s->mailboxes, postmaster);

    for (size_t i = 0; i < s->domain_count && m == NULL; i++) {
        struct address a = { .local = postmaster, .domain = s->domain_list[i]->name };

        if (s->domain_list[i]->deliver == DOMAIN_LOCAL)
            m = find_address(s, &a);
    }
    return m;
}

static enum mailbox_answer answer(const struct mailbox_settings *m)
{
    if (m == NULL)
        return MAILBOX_NONE;
    return m == &unsure ? MAILBOX_UNSURE : MAILBOX_HERE;
}

enum mailbox_answer settings_has_mailbox(const struct settings *s, const struct address *a)
{
    const struct domain_settings *d = settings_domain(s, a->domain);

    return d != NULL && d->deliver == DOMAIN_LOCAL ? answer(find_address(s, a)) : MAILBOX_NONE;
}

static const struct mailbox_settings *find_without_detail(const struct settings *s,
                                                          const struct address *a)
{
    struct address base = *a;
    const struct mailbox_settings *m = find_address(s, a);

    return m == NULL && settings_drop_detail(s, &base) ? find_address(s, &base) : m;
}

enum mailbox_answer settings_find_mailbox(const struct settings *s, const struct address *a,
                                          const struct mailbox_settings **out)
{
    const struct mailbox_settings *m = NULL;
    const struct domain_settings *d = settings_domain(s, a->domain);
    const struct address pm = { .local = postmaster, .domain = a->domain };
    bool abuse = view_equal_nocase(a->local, VIEW("abuse"));

    if (a->domain.len > 0 && (d == NULL || d->deliver == DOMAIN_RELAY))
        return MAILBOX_NONE;
    if (a->domain.len > 0)
        m = find_without_detail(s, a);
    if (m == NULL && abuse)
        m = find_without_detail(s, &pm);
    if (m == NULL && (abuse || view_equal_nocase(a->local, postmaster)))
        m = find_postmaster(s);
    *out = m;
    return answer(m);
}

enum mailbox_answer settings_mailbox(const struct settings *s, const struct address *a,
                                     struct buf *folder)
{
    const struct mailbox_settings *m;
    enum mailbox_answer found = settings_find_mailbox(s, a, &m);

    return found != MAILBOX_HERE || buf_put(folder, m->folder) ? found : MAILBOX_NONE;
}
