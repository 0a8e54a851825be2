#include "smtpd/lists.h"

#include "common/memory.h"
#include "io/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEST_EVERY_MS = 3600000,
    NAME_MAX_BYTES = 64 + 255, /* an address' labels and a zone */
};

/* What is looked up in one list. */
struct entry {
    struct question question;
    char name[NAME_MAX_BYTES + 1];
};

/* RFC 5782, 5: 127.0.0.2 is on every list that works, 127.0.0.1 on none. */
struct lists_zone {
    const struct list_settings *settings;
    struct entry always, never;
    bool broken;
};

struct asked {
    struct entry entry;
    struct lists_check *check;
    const struct list_settings *list;
};

struct lists_asked {
    struct deferred free;
    size_t pending, pending_allow;
    const struct list_settings *blocking;
    bool unsure; /* one that allows could not say */
    struct net_address answer;
    struct asked each[];
};

static void ask(struct lists *l, struct entry *e, const struct net_address *address,
                const struct list_settings *list)
{
    struct buf name = buf_on(e->name, NAME_MAX_BYTES);

    net_print_reversed(address, &name);
    buf_printf(&name, ".%.*s", VIEW_ARG(list->zone));
    asker_ask(l->asker, &e->question, DNS_LISTED, buf_view(&name));
}

static bool in_block(const struct net_block *b, size_t count, const struct net_address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (net_block_has(&b[i], a))
            return true;
    }
    return false;
}

/* Answers count within 127.0.0.0/8 alone (RFC 5782, 2.1); at its end are, by custom, complaints
 * about who asks. */
static bool is_entry(const struct list_settings *list, const struct net_address *a)
{
    static const struct net_block entries = { { .family = AF_INET, .bytes = { 127 } }, 8 };
    static const struct net_block complaints = { { .family = AF_INET, .bytes = { 127, 255, 255 } },
                                                 24 };

    return net_block_has(&entries, a) && !net_block_has(&complaints, a) &&
           (list->answers.count == 0 || in_block(list->answers.blocks, list->answers.count, a));
}

static bool find_entry(const struct list_settings *list, const struct message_dns_answer *m,
                       struct net_address *found)
{
    struct view rest = m->items;
    struct dns_item item;

    for (uint32_t i = 0; m->result == DNS_OK && i < m->item_count; i++) {
        if (!dns_items_take(&rest, DNS_LISTED, &item))
            return false;
        *found = (struct net_address){ .family = item.family };
        memcpy(found->bytes, item.address, sizeof(found->bytes));
        if (is_entry(list, found))
            return true;
    }
    return false;
}

/* ---- tests ---- */

static void tell_unusable(const struct lists_zone *z, const char *reason)
{
    log_warn("list_unusable", LOG_VIEW("list", z->settings->zone), LOG_STRING("reason", reason));
}

static void on_never(struct question *q, const struct message_dns_answer *m)
{
    struct entry *e = container_of(q, struct entry, question);
    struct lists_zone *z = container_of(e, struct lists_zone, never);

    z->broken = m->result == DNS_OK;
    if (z->broken)
        tell_unusable(z, "it lists 127.0.0.1, and so perhaps everybody: it is not asked");
}

static void on_always(struct question *q, const struct message_dns_answer *m)
{
    struct entry *e = container_of(q, struct entry, question);
    struct lists_zone *z = container_of(e, struct lists_zone, always);
    struct net_address ignored;
    const struct list_settings any = { .zone = z->settings->zone };

    if (m->result != DNS_TEMPORARY && !find_entry(&any, m, &ignored))
        tell_unusable(z, "it does not list 127.0.0.2: perhaps it answers nobody here");
}

static void test_all(struct lists *l)
{
    static const struct net_address always = { .family = AF_INET, .bytes = { 127, 0, 0, 2 } };
    static const struct net_address never = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };

    for (size_t i = 0; i < l->settings->list_count; i++) {
        struct lists_zone *z = &l->zones[i];

        ask(l, &z->always, &always, z->settings);
        ask(l, &z->never, &never, z->settings);
    }
    loop_start_timer(l->loop, &l->timer, TEST_EVERY_MS);
}

static void on_test_due(struct timer *t)
{
    test_all(container_of(t, struct lists, timer));
}

void lists_init(struct lists *l, struct loop *loop, struct asker *asker,
                const struct strangers_settings *settings)
{
    *l = (struct lists){ .loop = loop, .asker = asker, .settings = settings };
    l->timer.fire = on_test_due;
    if (settings->list_count == 0)
        return;
    l->zones = memory_new_array(settings->list_count, sizeof(*l->zones));
    for (size_t i = 0; i < settings->list_count; i++) {
        l->zones[i].settings = &settings->lists[i];
        l->zones[i].always.question.answered = on_always;
        l->zones[i].never.question.answered = on_never;
    }
    test_all(l);
}

void lists_release(struct lists *l)
{
    for (size_t i = 0; l->zones != NULL && i < l->settings->list_count; i++) {
        asker_forget(l->asker, &l->zones[i].always.question);
        asker_forget(l->asker, &l->zones[i].never.question);
    }
    if (l->zones != NULL)
        loop_stop_timer(l->loop, &l->timer);
    free(l->zones);
    l->zones = NULL;
}

/* ---- clients ---- */

static void on_free(struct deferred *d)
{
    free(container_of(d, struct lists_asked, free));
}

void lists_forget(struct lists_check *c)
{
    struct lists_asked *a = c->asked;

    if (a == NULL)
        return;
    c->asked = NULL;
    loop_stop_timer(c->lists->loop, &c->timer);
    for (size_t i = 0; i < c->lists->settings->list_count; i++)
        asker_forget(c->lists->asker, &a->each[i].entry.question);
    loop_defer(c->lists->loop, &a->free);
}

static void decide(struct lists_check *c, const struct list_settings *by)
{
    struct net_address answer = c->asked->answer;
    bool sure = !c->asked->unsure && c->asked->pending_allow == 0;

    lists_forget(c);
    c->decided(c, by, &answer, sure);
}

static void on_answered(struct question *q, const struct message_dns_answer *m)
{
    struct entry *e = container_of(q, struct entry, question);
    struct asked *one = container_of(e, struct asked, entry);
    struct lists_asked *all = one->check->asked;
    struct net_address answer;
    bool listed = find_entry(one->list, m, &answer);

    all->pending--;
    if (one->list->allow)
        all->pending_allow--;
    if (one->list->allow && m->result == DNS_TEMPORARY)
        all->unsure = true;
    if (listed && one->list->allow) {
        decide(one->check, NULL);
        return;
    }
    if (listed && all->blocking == NULL) {
        all->blocking = one->list;
        all->answer = answer;
    }
    if (all->pending == 0 || (all->blocking != NULL && all->pending_allow == 0))
        decide(one->check, all->blocking);
}

static void on_timeout(struct timer *t)
{
    struct lists_check *c = container_of(t, struct lists_check, timer);

    decide(c, c->asked->blocking);
}

void lists_ask(struct lists *l, struct lists_check *c, const struct net_address *client)
{
    size_t count = l->settings->list_count;
    struct lists_asked *a;

    lists_forget(c);
    if (count == 0)
        return;
    a = memory_new(sizeof(*a) + count * sizeof(a->each[0]));
    a->free.run = on_free;
    c->lists = l;
    c->timer.fire = on_timeout;
    for (size_t i = 0; i < count; i++) {
        a->each[i].check = c;
        a->each[i].list = &l->settings->lists[i];
        a->each[i].entry.question.answered = on_answered;
        if (l->zones[i].broken)
            continue;
        a->pending++;
        a->pending_allow += a->each[i].list->allow;
        ask(l, &a->each[i].entry, client, a->each[i].list);
    }
    if (a->pending == 0) {
        free(a);
        return;
    }
    c->asked = a;
    loop_start_timer(l->loop, &c->timer, l->settings->list_timeout_ms);
}
