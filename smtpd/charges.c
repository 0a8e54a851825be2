#include "smtpd/charges.h"

#include "smtpd/session.h"

#include <string.h>

static bool add(struct session *s, const struct charge *charge)
{
    struct charges *c = &s->transaction.screen.charges;

    if (c->count == c->room) {
        size_t room = MAX(c->room * 2, 4);
        struct charge *all = arena_alloc(&s->transaction.arena, room * sizeof(*all));

        if (all == NULL)
            return false;
        if (c->count > 0)
            memcpy(all, c->all, c->count * sizeof(*all));
        c->all = all;
        c->room = room;
    }
    c->all[c->count++] = *charge;
    return true;
}

bool charges_add(struct session *s, const struct rule *rule, bool again, struct view recipient,
                 const bool *dropped)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        const struct rule_action *a = &rule->actions[i];
        struct charge charge = { rule, a, recipient, dropped };

        if (a->act != RULE_LIMIT || (again && a->key != RULE_BY_RECIPIENT))
            continue;
        if (!add(s, &charge))
            return false;
    }
    return true;
}

/* ---- whose tokens ---- */

static void put_network(const struct net_address *client, uint64_t prefix4, uint64_t prefix6,
                        struct buf *whose)
{
    struct net_address net = net_prefix(client, (unsigned)prefix4, (unsigned)prefix6);

    buf_put_byte(whose, (char)net.family);
    buf_put(whose, view_make(net.bytes, sizeof(net.bytes)));
}

static void put_lower(struct view text, struct buf *whose)
{
    for (size_t i = 0; i < text.len; i++)
        buf_put_byte(whose, byte_lower(text.ptr[i]));
}

/* The same address in capitals, in quotes or with a detail has the same tokens. */
static void put_address(const struct settings *settings, struct view address, struct buf *whose)
{
    struct rules_recipient_room room;
    struct rule_facts f;

    rules_set_recipient(&f, settings, address, &room);
    put_lower(f.recipient_base.len > 0 ? f.recipient_base : f.recipient, whose);
}

/* False: nobody's, so that nothing is taken. */
static bool put_whose(const struct session *s, const struct charge *c, struct buf *whose)
{
    const struct settings *settings = s->rules->settings;
    const struct limits_settings *l = &settings->limits;
    const struct rates_settings *r = &settings->rates;

    buf_put_byte(whose, (char)c->limit->key);
    switch (c->limit->key) {
    case RULE_BY_CLIENT:
        put_network(&s->client, l->client_prefix4, l->client_prefix6, whose);
        return s->client.family != 0;
    case RULE_BY_NETWORK:
        put_network(&s->client, r->network_prefix4, r->network_prefix6, whose);
        return s->client.family != 0;
    case RULE_BY_LOGIN:
        put_lower(view_of(s->login), whose);
        return s->login != NULL;
    case RULE_BY_SENDER:
        put_address(settings, s->transaction.sender, whose);
        return true;
    case RULE_BY_RECIPIENT:
        put_address(settings, c->recipient, whose);
        return c->dropped == NULL || !*c->dropped;
    case RULE_BY_RULE:
    case RULE_KEYS:
        break;
    }
    return true;
}

/* Whether there is a token, or none is needed. */
static bool charge(struct session *s, const struct charge *c, bool take)
{
    char room[ADDRESS_MAX + 8];
    struct buf whose = BUF_ON_ARRAY(room);
    struct rates_bucket b = { .rule = view_of(c->rule->label),
                              .number = (unsigned)(c->limit - c->rule->actions),
                              .rate = &c->limit->rate };

    if (s->rules->charged == NULL || !put_whose(s, c, &whose))
        return true;
    b.whose = buf_view(&whose);
    return s->rules->charged(s, &b, take);
}

const struct charge *charges_refusal(struct session *s)
{
    const struct charges *c = &s->transaction.screen.charges;

    for (size_t i = 0; i < c->count; i++) {
        if (!c->all[i].limit->holds && !charge(s, &c->all[i], false))
            return &c->all[i];
    }
    return NULL;
}

void charges_take(struct session *s)
{
    struct charges *c = &s->transaction.screen.charges;

    for (size_t i = 0; i < c->count; i++) {
        if (!charge(s, &c->all[i], true) && c->all[i].limit->holds)
            s->transaction.screen.surplus = c->all[i].limit;
    }
    c->count = 0;
}
