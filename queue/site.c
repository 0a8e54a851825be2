#include "queue/site.h"

#include "common/buf.h"
#include "mail/address.h"
#include "queue/index.h"

/* What follows a "+" is a detail, and a "=" is the "@" of an address that was put into this one
 * (VERP, SRS), which leaves the domain alone. */
static bool put_path(struct view sender, struct buf *out)
{
    size_t at = view_find_last(sender, '@');
    struct view local = view_sub(sender, 0, at);
    size_t kept = view_find(local, '=') < local.len ? 0 : view_find(local, '+');

    return buf_put(out, view_sub(local, 0, kept)) && buf_put(out, view_from(sender, local.len));
}

uint32_t site_sender(struct view login, struct view sender, struct view client)
{
    char room[ADDRESS_MAX];
    struct buf path = BUF_ON_ARRAY(room);
    struct view who = login.len > 0 ? login : client;

    if (login.len == 0 && sender.len > 0)
        who = put_path(sender, &path) ? buf_view(&path) : sender;
    return (uint32_t)hash_bytes_nocase(who);
}

/* ---- due units ---- */

void site_add_due(struct index *x, struct site *s, uint32_t unit, bool in_front)
{
    struct unit *u = index_unit(x, unit);
    const struct mail *m = index_mail(x, index_mail_of(x, unit));
    uint32_t f = flow_for(x, s, m->sender, m->priority);
    struct flow *flow = flow_at(x, f);

    u->link.due = f;
    u->link.prev = in_front ? POOL_NONE : flow->last;
    u->link.next = in_front ? flow->first : POOL_NONE;
    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = unit;
    else
        flow->first = unit;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = unit;
    else
        flow->last = unit;
    flow->count++;
    s->due_count++;
}

void site_remove_due(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);
    struct flow *flow = flow_at(x, u->link.due);

    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = u->link.next;
    else
        flow->first = u->link.next;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = u->link.prev;
    else
        flow->last = u->link.prev;
    flow->site->due_count--;
    if (--flow->count == 0)
        flow_drop(x, u->link.due);
    u->link.due = 0;
    u->link.prev = u->link.next = POOL_NONE;
}

/* ---- turns ---- */

uint32_t site_first(const struct index *x, const struct site *s)
{
    uint32_t f = flow_first(s);

    return f == POOL_NONE ? POOL_NONE : flow_at(x, f)->first;
}

void site_charge(struct index *x, uint32_t unit, unsigned recipients)
{
    flow_charge(x, index_unit(x, unit)->link.due, recipients);
}

/* ---- connections ---- */

uint32_t site_connections(const struct site *s)
{
    uint32_t window = pace_window(&s->pace, s->limits);

    return window - MIN(s->leaving, window);
}
