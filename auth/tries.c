#include "auth/tries.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum { LOGIN_COUNTED = 256 }; /* bytes of it that tell it from others */

struct entry {
    struct table_entry entry;
    struct list used;
    uint64_t debt_ms; /* time that has to pass until all tokens are there, at `at_ms` */
    uint64_t at_ms;
    size_t key_len;
    char key[];
};

void tries_init(struct tries *t)
{
    table_init(&t->entries, false);
    list_init(&t->used);
}

static void forget(struct tries *t, struct entry *e)
{
    table_remove(&t->entries, &e->entry);
    list_remove(&e->used);
    free(e);
}

void tries_release(struct tries *t)
{
    while (!list_empty(&t->used))
        forget(t, container_of(t->used.next, struct entry, used));
    table_release(&t->entries);
}

static struct entry *find(struct tries *t, struct view key)
{
    struct table_entry *found = table_find(&t->entries, key);

    return found == NULL ? NULL : container_of(found, struct entry, entry);
}

static struct entry *find_or_add(struct tries *t, struct view key)
{
    struct entry *e = find(t, key);

    if (e == NULL) {
        if (t->entries.count >= TRIES_ENTRIES_MAX)
            forget(t, container_of(t->used.next, struct entry, used));
        e = memory_new(sizeof(*e) + key.len);
        memcpy(e->key, key.ptr, key.len);
        e->key_len = key.len;
        table_add(&t->entries, &e->entry, view_make(e->key, e->key_len));
        list_init(&e->used);
    }
    list_remove(&e->used);
    list_append(&t->used, &e->used);
    return e;
}

/* The three kinds of keys do not meet: a letter begins each. */
static bool put_client(const struct tries *t, const struct net_address *client, struct buf *out)
{
    struct net_address network = net_prefix(client, t->prefix4, t->prefix6);

    return buf_put_byte(out, 'c') && buf_put_byte(out, (char)network.family) &&
           buf_put(out, view_make(network.bytes, sizeof(network.bytes)));
}

/* Without case, as users are found. */
static bool put_lower(struct view login, struct buf *out)
{
    for (size_t i = 0; i < login.len && i < LOGIN_COUNTED; i++) {
        if (!buf_put_byte(out, byte_lower(login.ptr[i])))
            return false;
    }
    return true;
}

static bool put_login(struct view login, struct buf *out)
{
    return buf_put_byte(out, 'l') && put_lower(login, out);
}

static bool put_pair(const struct tries *t, const struct net_address *client, struct view login,
                     struct buf *out)
{
    return buf_put_byte(out, 'p') && put_client(t, client, out) && put_lower(login, out);
}

static uint64_t debt_now(const struct entry *e, uint64_t now_ms)
{
    uint64_t passed = now_ms > e->at_ms ? now_ms - e->at_ms : 0;

    return e->debt_ms > passed ? e->debt_ms - passed : 0;
}

/* Less than a whole token is left when the debt is more than the time of all but one. */
static bool is_empty(const struct tries *t, const struct entry *e, uint64_t tokens, uint64_t now_ms)
{
    return e != NULL && debt_now(e, now_ms) + t->time_ms / tokens > t->time_ms;
}

bool tries_knows(struct tries *t, const struct net_address *client, struct view login)
{
    char room[TRIES_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);

    return put_pair(t, client, login, &key) && find(t, buf_view(&key)) != NULL;
}

enum tries_verdict tries_ask(struct tries *t, const struct net_address *client, struct view login,
                             uint64_t now_ms)
{
    char room[TRIES_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);

    if (put_client(t, client, &key) && is_empty(t, find(t, buf_view(&key)), t->per_client, now_ms))
        return TRIES_CLIENT;
    buf_clear(&key);
    if (login.len > 0 && put_login(login, &key) &&
        is_empty(t, find(t, buf_view(&key)), t->per_login, now_ms) &&
        !tries_knows(t, client, login))
        return TRIES_LOGIN;
    return TRIES_FINE;
}

static void take_token(struct tries *t, struct view key, uint64_t tokens, uint64_t now_ms)
{
    struct entry *e = find_or_add(t, key);

    e->debt_ms = MIN(debt_now(e, now_ms) + t->time_ms / tokens, t->time_ms);
    e->at_ms = now_ms;
}

enum tries_verdict tries_fail(struct tries *t, const struct net_address *client, struct view login,
                              uint64_t now_ms)
{
    char room[TRIES_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);

    if (put_client(t, client, &key))
        take_token(t, buf_view(&key), t->per_client, now_ms);
    buf_clear(&key);
    if (login.len > 0 && put_login(login, &key))
        take_token(t, buf_view(&key), t->per_login, now_ms);
    return tries_ask(t, client, login, now_ms);
}

void tries_succeed(struct tries *t, const struct net_address *client, struct view login,
                   uint64_t now_ms)
{
    char room[TRIES_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);

    if (put_pair(t, client, login, &key))
        find_or_add(t, buf_view(&key))->at_ms = now_ms;
}
