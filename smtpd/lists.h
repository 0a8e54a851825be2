/* Lists of addresses in the DNS (RFC 5782): whether a client stands on one that blocks, and on none
 * that allows. dns is asked for all lists at once, and remembers. What does not answer in time does
 * not list. Each list is tested now and then: one that lists everybody is passed over. */
#ifndef SMTPD_LISTS_H
#define SMTPD_LISTS_H

#include "io/loop.h"
#include "ipc/ask.h"
#include "ipc/settings.h"

struct lists_zone;

struct lists {
    struct loop *loop;
    struct asker *asker;
    const struct strangers_settings *settings;
    struct lists_zone *zones; /* one for each of settings.lists */
    struct timer timer;       /* until the next test */
};

/* Looking one client up; embed. Zeroed but for `decided` is "not asked". */
struct lists_check {
    struct lists *lists;
    struct timer timer;
    struct lists_asked *asked; /* heap; NULL: there is nothing to wait for */
    /* Comes once, from the loop, unless lists_forget was first. NULL: it may go on; else the list
     * that blocks it, and what that said; not `sure`: one that allows could not say. */
    void (*decided)(struct lists_check *c, const struct list_settings *by,
                    const struct net_address *answer, bool sure);
};

void lists_init(struct lists *l, struct loop *loop, struct asker *asker,
                const struct strangers_settings *settings);
void lists_release(struct lists *l);

void lists_ask(struct lists *l, struct lists_check *c, const struct net_address *client);
void lists_forget(struct lists_check *c); /* safe when not asked */
static inline bool lists_pending(const struct lists_check *c)
{
    return c->asked != NULL;
}

#endif
