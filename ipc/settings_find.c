/* Questions to the settings: domains, networks, names. */
#include "common/attrs.h"
#include "ipc/settings.h"

const struct domain_settings *settings_domain(const struct settings *s, struct view domain)
{
    struct table_entry *e = table_find(&s->domains, domain);

    return e == NULL ? NULL : container_of(e, struct domain_settings, entry);
}

bool network_list_has(const struct network_list *l, const struct net_address *a)
{
    for (size_t i = 0; i < l->count; i++) {
        if (net_block_has(&l->blocks[i], a))
            return true;
    }
    return false;
}

bool settings_is_own_name(const struct settings *s, struct view name)
{
    bool own = view_equal_nocase(name, s->hostname);

    for (size_t i = 0; !own && i < s->listener_count; i++)
        own = view_equal_nocase(name, s->listeners[i].hostname);
    return own && name.len > 0;
}

enum mailbox_answer settings_may_have_mailbox(const struct settings *s, const struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);
    bool may = s->pattern_count > 0 ||
               (address_key(a, &key) && (table_find(&s->mailboxes, buf_view(&key)) != NULL ||
                                         table_find(&s->folders, buf_view(&key)) != NULL));

    return may ? MAILBOX_HERE : MAILBOX_NONE;
}
