#include "ipc/rule_set.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORK_KEY = 18 }; /* bytes: family, prefix, address */

void rule_set_init(struct rule_set *s)
{
    *s = (struct rule_set){ .prefixes4 = 0 };
    table_init(&s->words, true);
}

void rule_set_release(struct rule_set *s)
{
    struct table_entry *e = table_next(&s->words, NULL);

    while (e != NULL) {
        struct rule_word *w = container_of(e, struct rule_word, entry);

        e = table_next(&s->words, e);
        free(w->rules);
        free(w);
    }
    table_release(&s->words);
}

/* Tables ignore the case of letters, and bytes of addresses may look like them: each becomes two
 * that are none. */
static void put_bytes(char *to, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = (char)(bytes[i] >> 4);
        to[2 * i + 1] = (char)(bytes[i] & 15);
    }
}

static struct view network_key(const struct net_address *a, unsigned prefix, char *room)
{
    struct net_address net = net_prefix(a, prefix, prefix);
    uint8_t bytes[NETWORK_KEY] = { a->family == AF_INET ? 4 : 6, (uint8_t)prefix };

    memcpy(bytes + 2, net.bytes, sizeof(net.bytes));
    put_bytes(room, bytes, sizeof(bytes));
    return view_make(room, 2 * sizeof(bytes));
}

unsigned rule_word_prefix(const struct rule_word *w)
{
    return (unsigned)(w->key[2] << 4 | w->key[3]);
}

static struct rule_word *add_word(struct rule_set *s, struct view key)
{
    struct table_entry *e = table_find(&s->words, key);
    struct rule_word *w;

    if (e != NULL)
        return container_of(e, struct rule_word, entry);
    w = memory_new(sizeof(*w) + key.len + 1);
    memcpy(w->key, key.ptr, key.len);
    w->key_len = key.len;
    table_add(&s->words, &w->entry, view_make(w->key, key.len));
    return w;
}

struct rule_word *rule_set_add(struct rule_set *s, enum rule_kind kind, struct view value)
{
    char room[2 * NETWORK_KEY];
    struct net_block block;

    if (kind != RULE_NETWORK)
        return add_word(s, value);
    if (!net_parse_block(value, &block))
        return NULL;
    if (block.base.family == AF_INET)
        s->prefixes4 |= 1ULL << block.prefix;
    else
        s->prefixes6[block.prefix / 64] |= 1ULL << block.prefix % 64;
    return add_word(s, network_key(&block.base, block.prefix, room));
}

void rule_lookup_begin(struct rule_lookup *l, const struct rule_set *s, const struct rule_fact *f)
{
    l->set = s;
    l->fact = *f;
    l->step = 0;
    l->rest = VIEW_EMPTY;
}

static bool has_prefix(const struct rule_set *s, int family, unsigned prefix)
{
    if (family == AF_INET)
        return (s->prefixes4 >> prefix & 1) != 0;
    return (s->prefixes6[prefix / 64] >> prefix % 64 & 1) != 0;
}

/* The longest prefix first. */
static bool next_network(struct rule_lookup *l, struct view *key)
{
    const struct net_address *a = l->fact.client;
    unsigned most;

    if (a == NULL || a->family == 0)
        return false;
    most = a->family == AF_INET ? 32 : 128;
    while (l->step <= most) {
        unsigned prefix = most - l->step++;

        if (!has_prefix(l->set, a->family, prefix))
            continue;
        *key = network_key(a, prefix, l->room);
        return true;
    }
    return false;
}

/* "a.b.c": ".b.c", then ".c", behind `before`. */
static bool next_parent(struct rule_lookup *l, struct view before, struct view *key)
{
    struct buf out = BUF_ON_ARRAY(l->room);
    size_t dot = view_find(l->rest, '.');

    if (dot == l->rest.len)
        return false;
    l->rest = view_from(l->rest, dot);
    if (!buf_put(&out, before) || !buf_put(&out, l->rest))
        return false;
    l->rest = view_from(l->rest, 1);
    *key = buf_view(&out);
    return true;
}

static bool next_address(struct rule_lookup *l, struct view *key)
{
    struct view text = l->fact.text;
    size_t at = view_find_last(text, '@');

    switch (l->step++) {
    case 0:
        *key = text.len > 0 ? text : VIEW("<>");
        return true;
    case 1:
        if (at == text.len)
            return false;
        *key = view_from(text, at);
        l->rest = view_from(text, at + 1);
        return true;
    default:
        return next_parent(l, VIEW("@"), key);
    }
}

static bool next_key(struct rule_lookup *l, struct view *key)
{
    switch (l->fact.kind) {
    case RULE_NETWORK:
        return next_network(l, key);
    case RULE_ADDRESS:
        return next_address(l, key);
    case RULE_HOST:
        if (l->step > 0)
            return next_parent(l, VIEW_EMPTY, key);
        l->rest = l->fact.text;
        break;
    case RULE_WORD:
        if (l->step > 0)
            return false;
        break;
    }
    l->step = 1;
    *key = l->fact.text;
    return l->fact.text.len > 0;
}

const struct rule_word *rule_lookup_next(struct rule_lookup *l)
{
    struct view key;

    while (l->set->words.count > 0 && next_key(l, &key)) {
        const struct rule_word *w = rule_set_find(l->set, key);

        if (w != NULL)
            return w;
    }
    return NULL;
}

const struct rule_word *rule_set_find(const struct rule_set *s, struct view word)
{
    struct table_entry *e = s->words.count > 0 ? table_find(&s->words, word) : NULL;

    return e == NULL ? NULL : container_of(e, struct rule_word, entry);
}

bool rule_set_has(const struct rule_set *s, const struct rule_fact *f)
{
    struct rule_lookup l;

    if (s->words.count == 0)
        return false;
    rule_lookup_begin(&l, s, f);
    return rule_lookup_next(&l) != NULL;
}
