#include "dns/desk.h"

#include "common/memory.h"
#include "dns/addr.h"
#include "dns/mx.h"
#include "io/log.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum { WORDS_MAX = 400 }; /* bytes: a name and a sentence */

/* One question in flight.
 *
 *   DNS_ROUTE:      MX --records--> hosts
 *                      --none-----> the addresses of the domain itself, as a question of its own
 *   DNS_ADDRESSES:  AAAA and A, until both are answered */
struct question {
    struct table_entry entry;
    struct desk *desk;
    enum dns_question kind;
    struct list waiters;
    struct resolver_query mx, aaaa, a;
    uint32_t mx_ttl_s; /* of "there are no MX records" */
    unsigned halves_pending;
    struct addr_half v6, v4;
    char words[WORDS_MAX]; /* of its finding */
    size_t key_len;
    char key[CACHE_KEY_MAX]; /* the kind's digit and the name, in lower case */
};

/* Who waits for it: an asker, or the question for a route. */
struct waiter {
    struct list of_question, of_asker;
    struct asker *asker;
    uint64_t id;
    struct question *route;
};

static void conclude_route(struct question *q, const struct finding *addresses);

static uint32_t next_random(struct mx_random *r)
{
    uint32_t n = 0;
    ssize_t got = getrandom(&n, sizeof(n), 0);

    (void)r;
    assert(got == sizeof(n));
    return n;
}

static struct mx_random chance = { next_random };

static struct view name_of(const struct question *q)
{
    return view_make(q->key + 1, q->key_len - 1);
}

/* ---- findings ---- */

/* Why there is no answer. */
static struct view explain(struct question *q, enum dns_result result, const char *failure)
{
    struct buf words = BUF_ON_ARRAY(q->words);
    struct view name = name_of(q);
    bool route = q->kind == DNS_ROUTE;
    const char *what = route ? "mail hosts" : "addresses";

    switch (result) {
    case DNS_OK:
    case DNS_RESULTS:
        break;
    case DNS_NO_DOMAIN:
        buf_printf(&words, "%.*s does not exist in the DNS", VIEW_ARG(name));
        break;
    case DNS_NO_HOSTS:
        buf_printf(&words, "%.*s has %s in the DNS", VIEW_ARG(name),
                   route ? "neither mail hosts nor an address" : "no address");
        break;
    case DNS_NULL_MX:
        buf_printf(&words, "%.*s takes no mail (null MX)", VIEW_ARG(name));
        break;
    case DNS_TEMPORARY:
        buf_printf(&words, "%s, looking up the %s of %.*s", failure != NULL ? failure : "no answer",
                   what, VIEW_ARG(name));
        break;
    case DNS_MALFORMED:
        buf_printf(&words, "malformed answer, looking up the %s of %.*s", what, VIEW_ARG(name));
        break;
    }
    return buf_view(&words);
}

/* How long it may be kept. */
static uint64_t limit_ttl(const struct desk *d, enum dns_result result, uint32_t ttl_s)
{
    uint64_t ttl_ms = (uint64_t)ttl_s * 1000;

    switch (result) {
    case DNS_OK:
    case DNS_NULL_MX:
        return MIN(ttl_ms, d->settings->ttl_most_ms);
    case DNS_NO_DOMAIN:
    case DNS_NO_HOSTS:
        return MIN(ttl_ms, d->settings->negative_ttl_ms);
    case DNS_TEMPORARY:
    case DNS_MALFORMED:
        return DESK_FAILURE_MS;
    case DNS_RESULTS:
        break;
    }
    return 0;
}

static struct finding make_finding(struct question *q, enum dns_result result, uint32_t ttl_s,
                                   const char *failure)
{
    return (struct finding){
        .result = result,
        .words = explain(q, result, failure),
        .ttl_ms = limit_ttl(q->desk, result, ttl_s),
    };
}

/* ---- answering ---- */

static void answer_waiter(struct waiter *w, const struct finding *f)
{
    struct asker *asker = w->asker;
    struct question *route = w->route;
    uint64_t id = w->id;

    list_remove(&w->of_question);
    list_remove(&w->of_asker);
    free(w);
    if (route != NULL)
        conclude_route(route, f);
    else
        asker->answer(asker, id, f);
}

/* Nothing may touch q after this. */
static void conclude(struct question *q, const struct finding *f)
{
    if (f->result != DNS_OK)
        log_debug("question_failed", LOG_VIEW("name", name_of(q)), LOG_VIEW("reason", f->words));
    cache_put(&q->desk->cache, q->kind, name_of(q), f, q->desk->loop->now_ms);
    table_remove(&q->desk->questions, &q->entry);
    while (!list_empty(&q->waiters))
        answer_waiter(container_of(q->waiters.next, struct waiter, of_question), f);
    free(q);
}

/* ---- asking ---- */

static void on_mx_answered(struct resolver_query *r, struct view packet, const char *failure);
static void on_aaaa_answered(struct resolver_query *r, struct view packet, const char *failure);
static void on_a_answered(struct resolver_query *r, struct view packet, const char *failure);

static void send_queries(struct question *q)
{
    struct resolver *r = q->desk->resolver;

    q->mx.answered = on_mx_answered;
    q->aaaa.answered = on_aaaa_answered;
    q->a.answered = on_a_answered;
    if (q->kind == DNS_ROUTE) {
        resolver_ask(r, &q->mx, name_of(q), ANSWER_MX);
    } else {
        q->halves_pending = 2;
        resolver_ask(r, &q->aaaa, name_of(q), ANSWER_AAAA);
        resolver_ask(r, &q->a, name_of(q), ANSWER_A);
    }
}

static struct question *start_question(struct desk *d, enum dns_question kind, struct view key)
{
    struct question *q = memory_new(sizeof(*q));

    q->desk = d;
    q->kind = kind;
    list_init(&q->waiters);
    for (size_t i = 0; i < key.len; i++)
        q->key[i] = byte_lower(key.ptr[i]);
    q->key_len = key.len;
    table_add(&d->questions, &q->entry, view_make(q->key, q->key_len));
    send_queries(q);
    return q;
}

/* Takes the waiter. `name` is askable. */
static void wait_for(struct desk *d, enum dns_question kind, struct view name, struct waiter *w)
{
    char room[CACHE_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct table_entry *e;
    struct question *q;
    bool fits = cache_make_key(kind, name, &key);

    assert(fits);
    e = table_find(&d->questions, buf_view(&key));
    q = e != NULL ? container_of(e, struct question, entry)
                  : start_question(d, kind, buf_view(&key));
    list_append(&q->waiters, &w->of_question);
}

static struct waiter *new_waiter(struct asker *a, uint64_t id, struct question *route)
{
    struct waiter *w = memory_new(sizeof(*w));

    w->asker = a;
    w->id = id;
    w->route = route;
    list_init(&w->of_question);
    list_init(&w->of_asker);
    if (a != NULL)
        list_append(&a->waiting, &w->of_asker);
    return w;
}

/* ---- what the name servers say ---- */

/* One answer is looked at at a time, and it is large. */
static const struct answer *read_answer(const struct question *q, enum answer_type type,
                                        struct view packet, const char *failure)
{
    static struct answer answer;

    if (failure != NULL)
        answer_set_failed(&answer, failure);
    else
        answer_read(packet, name_of(q), type, &answer);
    return &answer;
}

static void conclude_addresses(struct question *q)
{
    struct dns_item items[ADDR_ITEMS_MAX];
    uint32_t ttl_s;
    size_t count;
    enum dns_result result = addr_merge(&q->v6, &q->v4, items, &count, &ttl_s);
    struct finding f = make_finding(q, result, ttl_s,
                                    q->v6.status == ANSWER_FAILED ? q->v6.failure : q->v4.failure);

    f.items = items;
    f.count = count;
    conclude(q, &f);
}

static void on_aaaa_answered(struct resolver_query *r, struct view packet, const char *failure)
{
    struct question *q = container_of(r, struct question, aaaa);

    addr_keep(read_answer(q, ANSWER_AAAA, packet, failure), &q->v6);
    if (--q->halves_pending == 0)
        conclude_addresses(q);
}

static void on_a_answered(struct resolver_query *r, struct view packet, const char *failure)
{
    struct question *q = container_of(r, struct question, a);

    addr_keep(read_answer(q, ANSWER_A, packet, failure), &q->v4);
    if (--q->halves_pending == 0)
        conclude_addresses(q);
}

/* RFC 5321, 5.1: without MX records, a domain that has an address is its own mail host. */
static void conclude_route(struct question *q, const struct finding *addresses)
{
    struct dns_item domain = { .host = name_of(q) };
    struct finding f;

    if (addresses->result == DNS_OK) {
        f = make_finding(q, DNS_OK, q->mx_ttl_s, NULL);
        f.implicit = true;
        f.items = &domain;
        f.count = 1;
        f.ttl_ms = MIN(f.ttl_ms, addresses->ttl_ms);
    } else if (addresses->result == DNS_NO_HOSTS || addresses->result == DNS_NO_DOMAIN) {
        f = make_finding(q, addresses->result, q->mx_ttl_s, NULL);
        f.ttl_ms = MIN(f.ttl_ms, addresses->ttl_ms);
    } else {
        f = *addresses;
    }
    conclude(q, &f);
}

static void ask_for_own_addresses(struct question *q)
{
    const struct finding *known =
        cache_find(&q->desk->cache, DNS_ADDRESSES, name_of(q), q->desk->loop->now_ms);

    if (known != NULL)
        conclude_route(q, known);
    else
        wait_for(q->desk, DNS_ADDRESSES, name_of(q), new_waiter(NULL, 0, q));
}

static void conclude_hosts(struct question *q, const struct answer *answer)
{
    struct dns_item items[MX_HOSTS_MAX];
    size_t count;
    enum dns_result result = mx_choose(answer, &chance, items, &count);
    struct finding f = make_finding(q, result, answer->ttl_s, NULL);

    f.items = items;
    f.count = count;
    conclude(q, &f);
}

static void conclude_without_hosts(struct question *q, enum dns_result result,
                                   const struct answer *answer)
{
    struct finding f = make_finding(q, result, answer->ttl_s, answer->failure);

    conclude(q, &f);
}

static void on_mx_answered(struct resolver_query *r, struct view packet, const char *failure)
{
    struct question *q = container_of(r, struct question, mx);
    const struct answer *answer = read_answer(q, ANSWER_MX, packet, failure);

    switch (answer->status) {
    case ANSWER_OK:
        conclude_hosts(q, answer);
        break;
    case ANSWER_NO_DATA:
        q->mx_ttl_s = answer->ttl_s;
        ask_for_own_addresses(q);
        break;
    case ANSWER_NO_DOMAIN:
        conclude_without_hosts(q, DNS_NO_DOMAIN, answer);
        break;
    case ANSWER_FAILED:
        conclude_without_hosts(q, DNS_TEMPORARY, answer);
        break;
    case ANSWER_MALFORMED:
        conclude_without_hosts(q, DNS_MALFORMED, answer);
        break;
    }
}

/* ---- the counter ---- */

void desk_init(struct desk *d, struct loop *l, struct resolver *r, const struct dns_settings *s)
{
    d->loop = l;
    d->resolver = r;
    d->settings = s;
    cache_init(&d->cache, (size_t)s->cache_entries);
    table_init(&d->questions, true);
}

void asker_init(struct asker *a)
{
    list_init(&a->waiting);
}

/* What needs no name server: an address as a name. It is its own mail host. */
static bool answer_literal(struct asker *a, uint64_t id, enum dns_question kind, struct view name)
{
    struct dns_item item;
    struct finding f = { .result = DNS_OK, .items = &item, .count = 1 };

    if (!addr_read_literal(name, &item))
        return false;
    if (kind == DNS_ROUTE) {
        item = (struct dns_item){ .host = name };
        f.implicit = true;
    }
    a->answer(a, id, &f);
    return true;
}

static void refuse(struct asker *a, uint64_t id, enum dns_result result, struct view words)
{
    const struct finding f = { .result = result, .words = words };

    a->answer(a, id, &f);
}

void desk_ask(struct desk *d, struct asker *a, uint64_t id, enum dns_question kind,
              struct view name)
{
    struct finding *known;

    if (answer_literal(a, id, kind, name))
        return;
    if (!answer_name_valid(name)) {
        refuse(a, id, DNS_NO_DOMAIN, VIEW("this is not a domain name"));
        return;
    }
    known = cache_find(&d->cache, kind, name, d->loop->now_ms);
    if (known != NULL) {
        if (kind == DNS_ROUTE)
            mx_shuffle(known->items, known->count, &chance);
        a->answer(a, id, known);
        return;
    }
    if (d->questions.count >= DESK_QUESTIONS_MAX) {
        refuse(a, id, DNS_TEMPORARY, VIEW("too many questions for the DNS at once"));
        return;
    }
    wait_for(d, kind, name, new_waiter(a, id, NULL));
}

void desk_forget(struct asker *a)
{
    list_each_safe (it, &a->waiting) {
        struct waiter *w = container_of(it, struct waiter, of_asker);

        list_remove(&w->of_question);
        list_remove(&w->of_asker);
        free(w);
    }
}
