#include "queue/index.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct index x;

static int set_up(void **state)
{
    (void)state;
    index_init(&x);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    index_release(&x);
    return 0;
}

static struct destination *destination_of(const char *name)
{
    const struct hop hop = { .kind = HOP_MX, .name = view_of(name), .host = view_of(name) };

    return index_destination_for(&x, &hop);
}

/* Every recipient to the destination whose letter is at its place. */
static uint32_t add(uint64_t id, const char *letters)
{
    uint32_t mail = index_add_mail(&x, id, (unsigned)strlen(letters));

    for (unsigned i = 0; letters[i] != '\0'; i++) {
        char name[] = { letters[i], '\0' };

        index_add_rcpt(&x, mail, destination_of(name), i, 1);
    }
    return mail;
}

static unsigned count_units(uint32_t mail)
{
    unsigned count = 0;

    index_each_unit (u, &x, mail)
        count++;
    return count;
}

static uint32_t unit_of(uint32_t mail, const char *name)
{
    index_each_unit (u, &x, mail) {
        if (index_unit(&x, u)->destination == destination_of(name)->self)
            return u;
    }
    return POOL_NONE;
}

static void remove_all(uint32_t mail)
{
    index_each_unit (u, &x, mail)
        index_remove_unit(&x, u);
    index_remove_mail(&x, mail);
}

static void finds_messages_by_id(void **state)
{
    enum { MANY = 10000 };

    (void)state;
    for (uint64_t i = 1; i <= MANY; i++)
        (void)!add(i << 20, "a");
    for (uint64_t i = 1; i <= MANY; i++)
        assert_true(index_mail(&x, index_find(&x, i << 20))->id == i << 20);
    assert_int_equal(index_find(&x, 5), POOL_NONE);
    for (uint64_t i = 1; i <= MANY; i += 2)
        remove_all(index_find(&x, i << 20));
    for (uint64_t i = 1; i <= MANY; i++)
        assert_true((index_find(&x, i << 20) == POOL_NONE) == (i % 2 == 1));
    assert_int_equal(x.mails.count, MANY / 2);
    assert_int_equal(destination_of("a")->units, MANY / 2);
}

static void costs_about_75_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct mail), 72);
    assert_int_equal(sizeof(struct part), 44);
}

static void groups_recipients_by_destination(void **state)
{
    uint32_t mail = add(1, "aabac");
    const struct rcpts *a = index_rcpts(&x, unit_of(mail, "a"));

    (void)state;
    assert_int_equal(count_units(mail), 3);
    assert_int_equal(rcpts_count(a, 5), 3);
    assert_true(rcpts_has(a, 5, 0) && rcpts_has(a, 5, 1) && rcpts_has(a, 5, 3));
    assert_int_equal(destination_of("a")->units, 1);
}

static void knows_hops_apart(void **state)
{
    struct hop hop = { .kind = HOP_ROUTE, .name = VIEW_INIT("h"), .route = 1 };
    struct destination *route = index_destination_for(&x, &hop);
    struct destination *domain;

    (void)state;
    hop.route = 2; /* another was put before it */
    assert_ptr_equal(route, index_destination_for(&x, &hop));
    assert_int_equal(route->hop.route, 2);
    hop = (struct hop){ .kind = HOP_MX, .name = VIEW_INIT("h"), .host = VIEW_INIT("h") };
    domain = index_destination_for(&x, &hop);
    assert_ptr_not_equal(route, domain);
    check_view("name", domain->hop.name, VIEW("h"));
    check_view("host", domain->hop.host, VIEW("h"));
}

static void splits_and_merges_units(void **state)
{
    enum { TOTAL = 200 }; /* more than fit into the struct */
    char letters[TOTAL + 1];
    struct rcpts some, others;
    uint32_t mail, unit, part;

    (void)state;
    memset(letters, 'a', TOTAL);
    letters[TOTAL] = '\0';
    mail = add(1, letters);
    unit = index_first_unit(&x, mail);
    index_unit(&x, unit)->attempts = 3;
    rcpts_init(&some, TOTAL);
    rcpts_init(&others, TOTAL);
    for (unsigned i = 0; i < TOTAL; i += 3)
        rcpts_add(&some, TOTAL, i);
    index_run(&x, unit);
    part = index_split(&x, unit, &some);
    assert_true(part != POOL_NONE && part != unit);
    assert_int_equal(index_unit(&x, part)->attempts, 3);
    assert_int_equal(index_unit(&x, part)->state, UNIT_PARKED);
    assert_int_equal(rcpts_count(index_rcpts(&x, part), TOTAL), 67);
    assert_int_equal(rcpts_count(index_rcpts(&x, unit), TOTAL), 133);
    assert_int_equal(index_split(&x, unit, &some), POOL_NONE);
    assert_true(index_split(&x, part, &some) == part);
    rcpts_add_all(&others, TOTAL, index_rcpts(&x, unit));
    assert_true(index_split(&x, unit, &others) == unit);
    index_merge(&x, unit, part);
    assert_int_equal(count_units(mail), 1);
    assert_int_equal(rcpts_count(index_rcpts(&x, unit), TOTAL), TOTAL);
    assert_int_equal(destination_of("a")->units, 1);
    rcpts_release(&some, TOTAL);
    rcpts_release(&others, TOTAL);
}

static void keeps_due_units_in_order(void **state)
{
    struct destination *d = destination_of("a");
    uint32_t units[4];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(units); i++) {
        units[i] = index_first_unit(&x, add(i + 1, "a"));
        index_make_due(&x, units[i], i == 3);
    }
    assert_int_equal(d->due_count, 4);
    assert_int_equal(d->site->due_count, 4);
    assert_int_equal(site_first(&x, d->site), units[3]);
    index_run(&x, units[3]);
    assert_int_equal(site_first(&x, d->site), units[0]);
    index_park(&x, units[1]);
    assert_int_equal(index_unit(&x, units[0])->link.next, units[2]);
    index_time(&x, units[2], 5);
    assert_int_equal(site_first(&x, d->site), units[0]);
    index_remove_unit(&x, units[0]);
    assert_int_equal(d->due_count, 0);
    assert_int_equal(site_first(&x, d->site), POOL_NONE);
    assert_int_equal(x.flows.count, 0);
}

/* Starts so many units, and tells whose they are; '-': none was due. */
static const char *take_turns(struct site *s, unsigned count)
{
    static char order[101];

    for (unsigned i = 0; i < count; i++) {
        uint32_t unit = site_first(&x, s);

        order[i] = unit == POOL_NONE ? '-' : (char)index_mail(&x, index_mail_of(&x, unit))->sender;
        if (unit == POOL_NONE)
            continue;
        site_charge(&x, unit, rcpts_count(index_rcpts(&x, unit), 1));
        index_run(&x, unit);
    }
    order[count] = '\0';
    return order;
}

static void send_from(unsigned sender, int priority, unsigned count)
{
    static uint64_t id = 1000;

    for (unsigned i = 0; i < count; i++) {
        uint32_t mail = index_add_mail(&x, ++id, 1);

        index_mail(&x, mail)->sender = sender;
        index_mail(&x, mail)->priority = (unsigned)(priority + FLOW_PRIORITY_NORMAL) & 31u;
        index_add_rcpt(&x, mail, destination_of("a"), 0, 1);
        index_make_due(&x, index_first_unit(&x, mail), false);
    }
}

static void senders_take_turns(void **state)
{
    struct site *s = destination_of("a")->site;

    (void)state;
    send_from('b', 0, 10);
    send_from('c', 0, 3);
    assert_string_equal(take_turns(s, 6), "bcbcbc");
    send_from('d', 0, 1); /* comes late, and waits for one turn of the others at most */
    assert_string_equal(take_turns(s, 3), "bdb");
    send_from('u', 3, 3); /* a turn costs an eighth */
    assert_string_equal(take_turns(s, 4), "uuub");
    send_from('l', -1, 2); /* and here it costs two, but it comes */
    assert_string_equal(take_turns(s, 7), "bblbbl-");
    assert_int_equal(x.flows.count, 0);
}

/* A sender whose queue is empty again and again gets no more than the others. */
static void nobody_is_always_first(void **state)
{
    struct site *s = destination_of("a")->site;
    unsigned bulk = 0;

    (void)state;
    send_from('b', 0, 20);
    for (unsigned i = 0; i < 20; i++) {
        send_from('c', 0, 1);
        bulk += take_turns(s, 1)[0] == 'b';
    }
    assert_in_range(bulk, 9, 11);
}

static const struct mail *take_turn(struct site *s)
{
    uint32_t unit = site_first(&x, s);

    site_charge(&x, unit, 1);
    index_run(&x, unit);
    return index_mail(&x, index_mail_of(&x, unit));
}

/* However many they are, none waits behind the queue of another; and the mail of each goes in its
 * order. */
static void each_sender_has_a_turn(void **state)
{
    enum { SENDERS = 3000, EACH = 20 };
    struct site *s = destination_of("a")->site;
    unsigned turns[SENDERS] = { 0 };
    uint64_t last[SENDERS] = { 0 };

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++)
        send_from(i, 0, EACH);
    assert_int_equal(s->flows.count, SENDERS);
    for (unsigned i = 0; i < SENDERS * EACH; i++) {
        const struct mail *m = take_turn(s);

        assert_int_equal(turns[m->sender]++, i / SENDERS);
        assert_true(m->id > last[m->sender]);
        last[m->sender] = m->id;
    }
    assert_int_equal(x.flows.count, 0);
}

static void a_late_sender_waits_for_one_turn_of_each(void **state)
{
    enum { SENDERS = 300, EACH = 20 };
    struct site *s = destination_of("a")->site;
    unsigned waited = 0;

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++)
        send_from(i, 0, EACH);
    for (unsigned i = 0; i < SENDERS + SENDERS / 2; i++)
        take_turn(s);
    send_from(SENDERS, 0, 1);
    while (take_turn(s)->sender != SENDERS)
        waited++;
    assert_in_range(waited, 0, SENDERS);
}

static void tells_senders_apart(void **state)
{
    static const struct {
        const char *name, *login, *path, *client;
        char same; /* as */
    } cases[] = {
        { "plain", "", "a@x.test", "1", 'a' },
        { "no case", "", "A@X.test", "2", 'a' },
        { "a detail", "", "a+b@x.test", "1", 'a' },
        { "another", "", "b@x.test", "1", 'b' },
        { "another domain", "", "a@y.test", "1", 'c' },
        { "a mailing", "", "news-17-joe=there.test@x.test", "1", 'd' },
        { "its next message", "", "news-18-ann=where.test@x.test", "1", 'd' },
        { "forwarded", "", "SRS0=HHH=TT=there.test=joe@x.test", "1", 'd' },
        { "quoted", "", "\"a@b\"@x.test", "1", 'e' },
        { "a login", "joe", "a@x.test", "1", 'f' },
        { "whatever it says", "joe", "b@x.test", "1", 'f' },
        { "nobody", "", "", "192.0.2.1", 'g' },
        { "nobody, elsewhere", "", "", "192.0.2.2", 'h' },
        { "no domain", "", "postmaster", "1", 'i' },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t k = 0; k < i; k++) {
            bool same = site_sender(view_of(cases[i].login), view_of(cases[i].path),
                                    view_of(cases[i].client)) ==
                        site_sender(view_of(cases[k].login), view_of(cases[k].path),
                                    view_of(cases[k].client));

            check(cases[i].name, same == (cases[i].same == cases[k].same));
        }
    }
}

/* ---- sites ---- */

static void domains_with_the_same_hosts_are_one_site(void **state)
{
    struct destination *a = destination_of("a"), *b = destination_of("b"), *c = destination_of("c");
    uint32_t units[3];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(units); i++) {
        units[i] = index_first_unit(&x, add(i + 1, i == 1 ? "b" : "a"));
        index_make_due(&x, units[i], false);
    }
    index_move_destination(&x, a, SITE_HOSTS, VIEW("mx.test"));
    index_move_destination(&x, b, SITE_HOSTS, VIEW("mx.test"));
    index_move_destination(&x, c, SITE_HOSTS, VIEW("mx.other.test"));
    assert_ptr_equal(a->site, b->site);
    assert_ptr_not_equal(a->site, c->site);
    assert_int_equal(x.sites.count, 2);
    assert_int_equal(a->site->due_count, 3);
    assert_int_equal(a->site->units, 3);
    assert_int_equal(a->site->member_count, 2);
    index_move_destination(&x, a, SITE_HOSTS, VIEW("mx.other.test"));
    assert_int_equal(b->site->due_count, 1);
    assert_int_equal(b->site->units, 1);
    assert_int_equal(site_first(&x, b->site), units[1]);
    assert_int_equal(a->site->due_count, 2);
    assert_int_equal(site_first(&x, a->site), units[0]);
    assert_int_equal(x.sites.count, 2);
}

/* However many messages there are: a look at some of them at a time. */
static void looks_for_what_is_overdue_in_slices(void **state)
{
    enum { MAILS = 100, SLICE = 7 };
    struct destination *d = destination_of("a");
    unsigned found = 0, slices = 0, steps = 2 * MAILS;
    uint32_t at = 1;

    (void)state;
    for (uint32_t i = 0; i < MAILS; i++) {
        uint32_t mail = add(i + 1, i % 10 == 0 ? "b" : "a");

        index_make_due(&x, index_first_unit(&x, mail), false);
        index_set_overdue(&x, mail, i % 2 == 0);
    }
    assert_int_equal(index_next_overdue(&x, &at, &steps), POOL_NONE);
    assert_in_range(steps, 1, MAILS); /* it has seen all of them */
    d->site->backed_off = true;
    at = 1;
    do {
        uint32_t mail;

        steps = SLICE;
        while ((mail = index_next_overdue(&x, &at, &steps)) != POOL_NONE) {
            index_set_deadline(&x, mail, DEADLINE_EXPIRY);
            found++;
        }
        slices++;
    } while (steps == 0);
    assert_int_equal(found, MAILS / 2 - MAILS / 10);
    assert_in_range(slices, MAILS / SLICE, 2 * MAILS / SLICE);
    d->site->backed_off = false;
}

/* Each that is found counts, too. */
static void a_slice_ends_where_all_are_overdue(void **state)
{
    enum { MAILS = 100, SLICE = 7 };
    struct destination *d = destination_of("a");
    uint32_t at = 1;
    unsigned found = 0, steps;

    (void)state;
    d->site->backed_off = true;
    for (uint32_t i = 0; i < MAILS; i++) {
        uint32_t mail = add(i + 1, "a");

        index_make_due(&x, index_first_unit(&x, mail), false);
        index_set_overdue(&x, mail, true);
    }
    do {
        unsigned before = found;

        steps = SLICE;
        while (index_next_overdue(&x, &at, &steps) != POOL_NONE)
            found++;
        assert_in_range(found - before, 0, SLICE);
    } while (steps == 0);
    assert_int_equal(found, MAILS);
    d->site->backed_off = false;
}

static void counts_units_by_state(void **state)
{
    uint32_t mail = add(1, "abcdef");
    uint32_t units[6];
    unsigned steps = 10;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(units); i++) {
        char name[] = { (char)('a' + (int)i), '\0' };

        units[i] = unit_of(mail, name);
    }
    assert_int_equal(x.unit_counts[UNIT_PARKED], 6);
    index_time(&x, units[0], 7);
    index_make_due(&x, units[1], false);
    index_run(&x, units[2]);
    index_fail(&x, units[3]);
    index_arrive(&x, units[4]);
    for (unsigned s = 0; s < UNIT_STATES; s++)
        assert_int_equal(x.unit_counts[s], 1);
    assert_int_equal(index_take_timed(&x, 6, &steps), POOL_NONE);
    assert_true(index_take_timed(&x, 7, &steps) == units[0]);
    assert_int_equal(x.unit_counts[UNIT_PARKED], 2);
    remove_all(mail);
    for (unsigned s = 0; s < UNIT_STATES; s++)
        assert_int_equal(x.unit_counts[s], 0);
}

static void list(uint32_t mail, enum deadline list, uint32_t arrival_s)
{
    index_mail(&x, mail)->arrival_s = arrival_s;
    index_set_deadline(&x, mail, list);
}

static uint32_t first_of(enum deadline list)
{
    unsigned steps = 1000;

    return index_first_deadline(&x, list, &steps);
}

static void keeps_deadlines_in_order(void **state)
{
    uint32_t mails[4];

    (void)state;
    assert_int_equal(first_of(DEADLINE_NOTICE), POOL_NONE);
    for (unsigned i = 0; i < COUNT_OF(mails); i++) {
        mails[i] = add(i + 1, "a");
        list(mails[i], DEADLINE_NOTICE, 100 + i);
    }
    assert_true(first_of(DEADLINE_NOTICE) == mails[0]);
    index_set_deadline(&x, mails[0], DEADLINE_NOTICED);
    remove_all(mails[1]);
    assert_true(first_of(DEADLINE_NOTICE) == mails[2]);
    index_set_deadline(&x, mails[0], DEADLINE_NOTICE);
    assert_true(first_of(DEADLINE_NOTICE) == mails[0]);
    assert_int_equal(first_of(DEADLINE_NOTICED), POOL_NONE);
    index_set_deadline(&x, mails[0], DEADLINE_NONE);
    index_set_deadline(&x, mails[2], DEADLINE_NONE);
    assert_true(first_of(DEADLINE_NOTICE) == mails[3]);
    list(mails[3], DEADLINE_EXPIRY, 7);
    assert_int_equal(first_of(DEADLINE_NOTICE), POOL_NONE);
    assert_true(first_of(DEADLINE_EXPIRY) == mails[3]);
}

/* Whatever came, went and came again, and however many they are. */
static void finds_the_first_deadline_of_many(void **state)
{
    enum { MANY = 20000 };
    static uint32_t mails[MANY];
    uint32_t last_s = 0, count = 0, mail;
    unsigned steps = 1;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        mails[i] = add(i + 1, "a");
        list(mails[i], DEADLINE_NOTICE, i * 7919 % MANY);
    }
    for (uint32_t i = 0; i < MANY; i += 3)
        list(mails[i], DEADLINE_TRASH, MANY);
    for (uint32_t i = 1; i < MANY; i += 3) /* into the places of others */
        remove_all(mails[i]);
    for (uint32_t i = 1; i < MANY; i += 3)
        list(add(MANY + i, "a"), DEADLINE_NOTICE, MANY + i);
    while ((mail = first_of(DEADLINE_NOTICE)) != POOL_NONE) {
        assert_true(index_mail(&x, mail)->arrival_s >= last_s);
        last_s = index_mail(&x, mail)->arrival_s;
        index_set_deadline(&x, mail, DEADLINE_NONE);
        count++;
    }
    assert_int_equal(count, MANY - (MANY + 2) / 3);
    assert_int_equal(index_mail(&x, first_of(DEADLINE_TRASH))->arrival_s, MANY);
    for (uint32_t i = 0; i < MANY - 3; i += 3) /* only the last one stays, far behind the others */
        remove_all(mails[i]);
    assert_int_equal(index_first_deadline(&x, DEADLINE_TRASH, &steps), POOL_NONE);
    assert_int_equal(steps, 0);
    assert_int_not_equal(first_of(DEADLINE_TRASH), POOL_NONE);
}

static void keeps_a_site_that_is_needed(void **state)
{
    uint32_t mail = add(1, "a");
    struct destination *d = destination_of("a");
    struct site *s = d->site;

    (void)state;
    index_rest_destination(&x, d);
    assert_int_equal(x.resting_count, 0);
    remove_all(mail);
    index_rest_destination(&x, d);
    index_rest_destination(&x, d);
    assert_int_equal(x.resting_count, 1);
    assert_ptr_equal(destination_of("a"), d);
    s->backed_off = true;
    for (unsigned i = 0; i < INDEX_RESTING_MAX; i++) { /* many others need nothing either */
        char name[16];

        snprintf(name, sizeof(name), "%u.test", i);
        index_rest_destination(&x, destination_of(name));
    }
    assert_int_equal(x.destinations.count, INDEX_RESTING_MAX);
    assert_int_equal(x.resting_count, INDEX_RESTING_MAX);
    assert_int_equal(x.sites.count, INDEX_RESTING_MAX + 1);
    s->backed_off = false;
    index_drop_site(&x, s);
    assert_int_equal(x.sites.count, INDEX_RESTING_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_messages_by_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(costs_about_75_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups_recipients_by_destination, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_hops_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_and_merges_units, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_due_units_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_units_by_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_deadlines_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_the_first_deadline_of_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_site_that_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(senders_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_always_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_sender_has_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_sender_waits_for_one_turn_of_each, set_up,
                                        tear_down),
        cmocka_unit_test(tells_senders_apart),
        cmocka_unit_test_setup_teardown(domains_with_the_same_hosts_are_one_site, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(looks_for_what_is_overdue_in_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slice_ends_where_all_are_overdue, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
