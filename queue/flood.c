#include "queue/flood.h"

#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

static bool is_stranger(const struct settings *s, const struct envelope *about)
{
    struct net_address client;

    if (about->login.len > 0 || !net_parse_address(about->client, &client) ||
        network_list_has(&s->trust, &client))
        return false;
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_settings *l = &s->listeners[i];

        if (view_equal(l->name, about->listener) && network_list_has(&l->trust, &client))
            return false;
    }
    return true;
}

static uint32_t *counter_for(struct flood *f, struct view sender)
{
    char room[ADDRESS_DOMAIN_MAX];
    struct buf domain = BUF_ON_ARRAY(room);

    sender = view_from(sender, view_find_last(sender, '@') + 1);
    for (size_t i = 0; i < sender.len; i++)
        buf_put_byte(&domain, byte_lower(sender.ptr[i]));
    return &f->counts[hash_bytes(buf_view(&domain)) % FLOOD_COUNTERS];
}

bool flood_allows(struct flood *f, const struct settings *s, const struct envelope *about,
                  uint64_t now_ms)
{
    uint32_t *count = counter_for(f, about->sender);

    if (!is_stranger(s, about))
        return true;
    if (f->hour != now_ms / HOUR_MS) {
        memset(f->counts, 0, sizeof(f->counts));
        f->hour = now_ms / HOUR_MS;
    }
    if (*count >= s->limits.notices)
        return false;
    ++*count;
    return true;
}
