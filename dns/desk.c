#include "dns/desk.h"

#include "common/memory.h"
#include "dns/addr.h"
#include "dns/finding.h"
#include "dns/mx.h"
#include "dns/reverse.h"
#include "io/log.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

/* One question in flight.
 *
 *   DNS_ROUTE:      MX --records--> hosts
 *                      --none-----> the addresses of the domain itself, as a question of its own
 *   DNS_ADDRESSES:  AAAA and A, until both are answered
 *   DNS_LISTED:     A
 *   DNS_NAME:       PTR --names--> the addresses of each, as questions of their own, until one is
 *                                  the address that was asked for */
struct question {
    struct table_entry entry;
    struct desk *desk;
    enum dns_question kind;
    enum line line;
    struct list waiters;
    struct waiter *waits_as; /* for another question; NULL: it does not */
    struct resolver_query mx, aaaa, a, ptr;
    uint32_t ttl_s; /* of the MX or PTR records, or of there being none */
    unsigned halves_pending;
    struct addr_half v6, v4;
    struct net_address address; /* DNS_NAME */
    struct reverse_hosts names;
    bool name_failed; /* the addresses of one of them could not be had */
    char reversed[REVERSE_NAME_MAX + 1];
    char words[FINDING_WORDS_MAX];
    size_t key_len;
    char key[CACHE_KEY_MAX]; /* the kind's digit and the name, in lower case */
};

/* Who waits for it: a customer, or another question. */
struct waiter {
    struct list of_question, of_customer;
    struct customer *customer;
    uint64_t id;
    struct question *parent;
    struct question *question; /* that it waits for */
};

static void go_on(struct question *parent, const struct finding *addresses);

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

static struct finding make_finding(struct question *q, enum dns_result result, uint32_t ttl_s,
                                   const char *failure)
{
    struct buf words = BUF_ON_ARRAY(q->words);

    finding_explain(result, q->kind, name_of(q), failure, &words);
    return (struct finding){
        .result = result,
        .words = buf_view(&words),
        .ttl_ms = finding_limit_ttl(result, ttl_s, q->desk->settings),
    };
}

/* ---- answering ---- */

static void free_waiter(struct waiter *w)
{
    if (w->parent != NULL)
        w->parent->waits_as = NULL;
    list_remove(&w->of_question);
    list_remove(&w->of_customer);
    free(w);
}

static void answer_waiter(struct waiter *w, const struct finding *f)
{
    struct customer *customer = w->customer;
    struct question *parent = w->parent;
    uint64_t id = w->id;

    free_waiter(w);
    if (parent != NULL)
        go_on(parent, f);
    else
        customer->answer(customer, id, f);
}

static void remove_question(struct question *q)
{
    q->desk->others_count -= q->line == LINE_STRANGERS;
    table_remove(&q->desk->questions, &q->entry);
}

/* Nothing may touch q after this. */
static void conclude(struct question *q, const struct finding *f)
{
    if (f->result != DNS_OK)
        log_debug("question_failed", LOG_VIEW("name", name_of(q)), LOG_VIEW("reason", f->words));
    cache_put(&q->desk->cache, q->kind, name_of(q), f, q->desk->loop->now_ms);
    remove_question(q);
    while (!list_empty(&q->waiters))
        answer_waiter(container_of(q->waiters.next, struct waiter, of_question), f);
    free(q);
}

/* ---- forgetting ---- */

static bool is_under_way(struct question *q)
{
    return q->mx.flying || q->aaaa.flying || q->a.flying || q->ptr.flying;
}

/* What nobody waits for any more need not be asked. What has been asked is answered, and kept. */
static void drop_unwanted(struct question *q)
{
    while (q != NULL && list_empty(&q->waiters) && !is_under_way(q)) {
        struct waiter *w = q->waits_as;
        struct question *needed = w == NULL ? NULL : w->question;
        bool dropped = resolver_drop(&q->mx) && resolver_drop(&q->aaaa) && resolver_drop(&q->a) &&
                       resolver_drop(&q->ptr);

        assert(dropped);
        if (w != NULL)
            free_waiter(w);
        remove_question(q);
        free(q);
        q = needed;
    }
}

static void drop_waiter(struct waiter *w)
{
    struct question *q = w->question;

    free_waiter(w);
    drop_unwanted(q);
}

/* ---- asking ---- */

/* Where a question belongs if there is only this waiter. */
static enum line line_for(enum dns_question kind, const struct waiter *w)
{
    if (w->parent != NULL)
        return w->parent->line == LINE_STRANGERS ? LINE_STRANGERS : LINE_IMPLICIT;
    if (!w->customer->urgent)
        return LINE_STRANGERS;
    return kind == DNS_ROUTE ? LINE_ROUTES : LINE_ADDRESSES;
}

/* Somebody who cannot wait as long as the others wants to know it too. */
static void hasten(struct question *q, enum line line)
{
    while (q != NULL && line < q->line) {
        q->desk->others_count -= q->line == LINE_STRANGERS;
        q->line = line;
        resolver_move(&q->mx, line);
        resolver_move(&q->aaaa, line);
        resolver_move(&q->a, line);
        resolver_move(&q->ptr, line);
        if (q->waits_as == NULL)
            return;
        line = line_for(DNS_ADDRESSES, q->waits_as);
        q = q->waits_as->question;
    }
}

static void on_mx_answered(struct resolver_query *r, struct view packet, const char *failure);
static void on_aaaa_answered(struct resolver_query *r, struct view packet, const char *failure);
static void on_a_answered(struct resolver_query *r, struct view packet, const char *failure);
static void on_ptr_answered(struct resolver_query *r, struct view packet, const char *failure);

static void ask_for_ptr(struct question *q)
{
    struct buf name = buf_on(q->reversed, REVERSE_NAME_MAX);
    bool is_address = net_parse_address(name_of(q), &q->address);

    assert(is_address); /* desk_ask has looked */
    reverse_name(&q->address, &name);
    resolver_ask(q->desk->resolver, &q->ptr, buf_view(&name), ANSWER_PTR);
}

static void send_queries(struct question *q)
{
    struct resolver *r = q->desk->resolver;

    q->mx.answered = on_mx_answered;
    q->aaaa.answered = on_aaaa_answered;
    q->a.answered = on_a_answered;
    q->ptr.answered = on_ptr_answered;
    q->mx.line = q->aaaa.line = q->a.line = q->ptr.line = q->line;
    switch (q->kind) {
    case DNS_ROUTE:
        resolver_ask(r, &q->mx, name_of(q), ANSWER_MX);
        break;
    case DNS_ADDRESSES:
        q->halves_pending = 2;
        resolver_ask(r, &q->aaaa, name_of(q), ANSWER_AAAA);
        resolver_ask(r, &q->a, name_of(q), ANSWER_A);
        break;
    case DNS_LISTED:
        q->halves_pending = 1;
        q->v6 = (struct addr_half){ .status = ANSWER_NO_DATA, .ttl_s = UINT32_MAX };
        resolver_ask(r, &q->a, name_of(q), ANSWER_A);
        break;
    case DNS_NAME:
        ask_for_ptr(q);
        break;
    case DNS_QUESTIONS:
        break;
    }
}

static struct question *start_question(struct desk *d, enum dns_question kind, struct view key,
                                       enum line line)
{
    struct question *q = memory_new(sizeof(*q));

    q->desk = d;
    q->kind = kind;
    q->line = line;
    d->others_count += line == LINE_STRANGERS;
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
    enum line line = line_for(kind, w);

    assert(fits);
    e = table_find(&d->questions, buf_view(&key));
    q = e != NULL ? container_of(e, struct question, entry)
                  : start_question(d, kind, buf_view(&key), line);
    hasten(q, line);
    w->question = q;
    list_append(&q->waiters, &w->of_question);
    if (w->parent != NULL)
        w->parent->waits_as = w;
}

static struct waiter *new_waiter(struct customer *c, uint64_t id, struct question *parent)
{
    struct waiter *w = memory_new(sizeof(*w));

    w->customer = c;
    w->id = id;
    w->parent = parent;
    list_init(&w->of_question);
    list_init(&w->of_customer);
    if (c != NULL)
        list_append(&c->waiting, &w->of_customer);
    return w;
}

/* ---- what the name servers say ---- */

/* One answer is looked at at a time, and it is large. */
static const struct answer *read_answer(struct view name, enum answer_type type, struct view packet,
                                        const char *failure)
{
    static struct answer answer;

    if (failure != NULL)
        answer_set_failed(&answer, failure);
    else
        answer_read(packet, name, type, &answer);
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

    addr_keep(read_answer(name_of(q), ANSWER_AAAA, packet, failure), &q->v6);
    if (--q->halves_pending == 0)
        conclude_addresses(q);
}

static void on_a_answered(struct resolver_query *r, struct view packet, const char *failure)
{
    struct question *q = container_of(r, struct question, a);

    addr_keep(read_answer(name_of(q), ANSWER_A, packet, failure), &q->v4);
    if (--q->halves_pending == 0)
        conclude_addresses(q);
}

/* RFC 5321, 5.1: without MX records, a domain that has an address is its own mail host. */
static void conclude_route(struct question *q, const struct finding *addresses)
{
    struct dns_item domain = { .host = name_of(q) };
    struct finding f;

    if (addresses->result == DNS_OK) {
        f = make_finding(q, DNS_OK, q->ttl_s, NULL);
        f.implicit = true;
        f.items = &domain;
        f.count = 1;
        f.ttl_ms = MIN(f.ttl_ms, addresses->ttl_ms);
    } else if (addresses->result == DNS_NO_HOSTS || addresses->result == DNS_NO_DOMAIN) {
        f = make_finding(q, addresses->result, q->ttl_s, NULL);
        f.ttl_ms = MIN(f.ttl_ms, addresses->ttl_ms);
    } else {
        f = *addresses;
    }
    conclude(q, &f);
}

/* `parent` goes on when they are known, perhaps at once. */
static void ask_for_addresses(struct question *parent, struct view host)
{
    struct desk *d = parent->desk;
    const struct finding *known = cache_find(&d->cache, DNS_ADDRESSES, host, d->loop->now_ms);

    if (known != NULL)
        go_on(parent, known);
    else
        wait_for(d, DNS_ADDRESSES, host, new_waiter(NULL, 0, parent));
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
    const struct answer *answer = read_answer(name_of(q), ANSWER_MX, packet, failure);

    switch (answer->status) {
    case ANSWER_OK:
        conclude_hosts(q, answer);
        break;
    case ANSWER_NO_DATA:
        q->ttl_s = answer->ttl_s;
        ask_for_addresses(q, name_of(q));
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

static void conclude_name(struct question *q, struct view host, uint64_t ttl_ms)
{
    struct dns_item item = { .host = host };
    struct finding f = make_finding(q, DNS_OK, q->ttl_s, NULL);

    f.items = &item;
    f.count = 1;
    f.ttl_ms = MIN(f.ttl_ms, ttl_ms);
    conclude(q, &f);
}

static struct view name_at(const struct question *q, size_t i)
{
    return view_of(q->names.hosts[i]);
}

static void try_next_name(struct question *q)
{
    enum dns_result result = q->name_failed ? DNS_TEMPORARY : DNS_NO_HOSTS;
    struct finding f;

    if (q->names.next < q->names.count) {
        ask_for_addresses(q, name_at(q, q->names.next++));
        return;
    }
    f = make_finding(q, result, q->ttl_s, "the addresses of its name could not be had");
    conclude(q, &f);
}

static void check_name(struct question *q, const struct finding *addresses)
{
    if (reverse_confirms(addresses->items, addresses->count, &q->address)) {
        conclude_name(q, name_at(q, q->names.next - 1), addresses->ttl_ms);
        return;
    }
    if (addresses->result == DNS_TEMPORARY || addresses->result == DNS_MALFORMED)
        q->name_failed = true;
    try_next_name(q);
}

static void on_ptr_answered(struct resolver_query *r, struct view packet, const char *failure)
{
    struct question *q = container_of(r, struct question, ptr);
    const struct answer *answer = read_answer(view_of(q->reversed), ANSWER_PTR, packet, failure);

    q->ttl_s = answer->ttl_s;
    switch (answer->status) {
    case ANSWER_OK:
        reverse_keep(answer, &q->names);
        try_next_name(q);
        break;
    case ANSWER_NO_DATA:
    case ANSWER_NO_DOMAIN:
        conclude_without_hosts(q, DNS_NO_HOSTS, answer);
        break;
    case ANSWER_FAILED:
        conclude_without_hosts(q, DNS_TEMPORARY, answer);
        break;
    case ANSWER_MALFORMED:
        conclude_without_hosts(q, DNS_MALFORMED, answer);
        break;
    }
}

/* What a question that needed addresses makes of them. */
static void go_on(struct question *parent, const struct finding *addresses)
{
    if (parent->kind == DNS_NAME)
        check_name(parent, addresses);
    else
        conclude_route(parent, addresses);
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

void customer_init(struct customer *c, bool urgent)
{
    c->urgent = urgent;
    list_init(&c->waiting);
}

/* What needs no name server: an address as a name. It is its own mail host. */
static bool answer_literal(struct customer *c, uint64_t id, enum dns_question kind,
                           struct view name)
{
    struct dns_item item;
    struct finding f = { .result = DNS_OK, .items = &item, .count = 1 };

    if (!addr_read_literal(name, &item))
        return false;
    if (kind == DNS_ROUTE) {
        item = (struct dns_item){ .host = name };
        f.implicit = true;
    }
    c->answer(c, id, &f);
    return true;
}

static bool has_room(const struct desk *d, const struct customer *c)
{
    return c->urgent ? d->questions.count - d->others_count < DESK_URGENT_MAX
                     : d->others_count < DESK_OTHERS_MAX;
}

static void refuse(struct customer *c, uint64_t id, enum dns_result result, struct view words)
{
    const struct finding f = { .result = result, .words = words };

    c->answer(c, id, &f);
}

static bool is_askable(enum dns_question kind, struct view name)
{
    struct net_address unused;

    return kind == DNS_NAME ? net_parse_address(name, &unused) : answer_name_valid(name);
}

void desk_ask(struct desk *d, struct customer *c, uint64_t id, enum dns_question kind,
              struct view name)
{
    struct finding *known;

    if (kind != DNS_NAME && answer_literal(c, id, kind, name))
        return;
    if (!is_askable(kind, name)) {
        refuse(c, id, DNS_NO_DOMAIN,
               kind == DNS_NAME ? VIEW("this is not an address")
                                : VIEW("this is not a domain name"));
        return;
    }
    known = cache_find(&d->cache, kind, name, d->loop->now_ms);
    if (known != NULL) {
        if (kind == DNS_ROUTE)
            mx_shuffle(known->items, known->count, &chance);
        c->answer(c, id, known);
        return;
    }
    if (!has_room(d, c)) {
        refuse(c, id, DNS_TEMPORARY, VIEW("too many questions for the DNS at once"));
        return;
    }
    wait_for(d, kind, name, new_waiter(c, id, NULL));
}

void desk_forget(struct customer *c)
{
    list_each_safe (it, &c->waiting)
        drop_waiter(container_of(it, struct waiter, of_customer));
}

void desk_forget_one(struct customer *c, uint64_t id)
{
    list_each (it, &c->waiting) {
        struct waiter *w = container_of(it, struct waiter, of_customer);

        if (w->id == id) {
            drop_waiter(w);
            return;
        }
    }
}
