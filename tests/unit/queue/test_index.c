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

static void costs_about_a_hundred_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct mail), 48);
    assert_int_equal(sizeof(struct unit), 48);
}

static void groups_recipients_by_destination(void **state)
{
    uint32_t mail = add(1, "aabac");
    const struct unit *a = index_unit(&x, unit_of(mail, "a"));

    (void)state;
    assert_int_equal(count_units(mail), 3);
    assert_int_equal(rcpts_count(&a->rcpts, 5), 3);
    assert_true(rcpts_has(&a->rcpts, 5, 0) && rcpts_has(&a->rcpts, 5, 1) &&
                rcpts_has(&a->rcpts, 5, 3));
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
    index_drop_destination(&x, domain);
    index_drop_destination(&x, route);
    assert_int_equal(x.destinations.count, 0);
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
    unit = index_mail(&x, mail)->units;
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
    assert_int_equal(rcpts_count(&index_unit(&x, part)->rcpts, TOTAL), 67);
    assert_int_equal(rcpts_count(&index_unit(&x, unit)->rcpts, TOTAL), 133);
    assert_int_equal(index_split(&x, unit, &some), POOL_NONE);
    assert_true(index_split(&x, part, &some) == part);
    rcpts_add_all(&others, TOTAL, &index_unit(&x, unit)->rcpts);
    assert_true(index_split(&x, unit, &others) == unit);
    index_merge(&x, unit, part);
    assert_int_equal(count_units(mail), 1);
    assert_int_equal(rcpts_count(&index_unit(&x, unit)->rcpts, TOTAL), TOTAL);
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
        units[i] = index_mail(&x, add(i + 1, "a"))->units;
        index_make_due(&x, units[i], i == 3);
    }
    assert_int_equal(d->due_count, 4);
    assert_true(d->first == units[3] && d->last == units[2]);
    index_run(&x, units[3]);
    assert_true(d->first == units[0]);
    index_park(&x, units[1]);
    assert_int_equal(index_unit(&x, units[0])->link.next, units[2]);
    index_time(&x, units[2], 5);
    assert_true(d->first == units[0] && d->last == units[0]);
    index_remove_unit(&x, units[0]);
    assert_int_equal(d->due_count, 0);
    assert_int_equal(d->first, POOL_NONE);
}

static void counts_units_by_state(void **state)
{
    uint32_t mail = add(1, "abcde");
    uint32_t units[5];
    unsigned steps = 10;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(units); i++) {
        char name[] = { (char)('a' + (int)i), '\0' };

        units[i] = unit_of(mail, name);
    }
    assert_int_equal(x.unit_counts[UNIT_PARKED], 5);
    index_time(&x, units[0], 7);
    index_make_due(&x, units[1], false);
    index_run(&x, units[2]);
    index_fail(&x, units[3]);
    for (unsigned s = 0; s < UNIT_STATES; s++)
        assert_int_equal(x.unit_counts[s], 1);
    assert_int_equal(index_take_timed(&x, 6, &steps), POOL_NONE);
    assert_true(index_take_timed(&x, 7, &steps) == units[0]);
    assert_int_equal(x.unit_counts[UNIT_PARKED], 2);
    remove_all(mail);
    for (unsigned s = 0; s < UNIT_STATES; s++)
        assert_int_equal(x.unit_counts[s], 0);
}

static void keeps_deadlines_in_order(void **state)
{
    uint32_t mails[4];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(mails); i++) {
        mails[i] = add(i + 1, "a");
        index_set_deadline(&x, mails[i], DEADLINE_NOTICE);
    }
    assert_true(index_first_deadline(&x, DEADLINE_NOTICE) == mails[0]);
    index_set_deadline(&x, mails[0], DEADLINE_NOTICED);
    remove_all(mails[1]);
    assert_true(index_first_deadline(&x, DEADLINE_NOTICE) == mails[2]);
    index_set_deadline_first(&x, mails[0], DEADLINE_NOTICE);
    assert_true(index_first_deadline(&x, DEADLINE_NOTICE) == mails[0]);
    assert_int_equal(index_first_deadline(&x, DEADLINE_NOTICED), POOL_NONE);
    index_set_deadline(&x, mails[0], DEADLINE_NONE);
    index_set_deadline(&x, mails[2], DEADLINE_NONE);
    assert_true(index_first_deadline(&x, DEADLINE_NOTICE) == mails[3]);
    index_set_deadline_first(&x, mails[3], DEADLINE_NOTICE);
    index_set_deadline(&x, mails[3], DEADLINE_EXPIRY);
    assert_int_equal(index_first_deadline(&x, DEADLINE_NOTICE), POOL_NONE);
    assert_true(index_first_deadline(&x, DEADLINE_EXPIRY) == mails[3]);
}

static void keeps_a_destination_that_is_needed(void **state)
{
    uint32_t mail = add(1, "a");
    struct destination *d = destination_of("a");

    (void)state;
    index_drop_destination(&x, d);
    assert_int_equal(x.destinations.count, 1);
    remove_all(mail);
    d->backed_off = true;
    index_drop_destination(&x, d);
    assert_int_equal(x.destinations.count, 1);
    d->backed_off = false;
    index_drop_destination(&x, d);
    assert_int_equal(x.destinations.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_messages_by_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(costs_about_a_hundred_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups_recipients_by_destination, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_hops_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_and_merges_units, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_due_units_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_units_by_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_deadlines_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_destination_that_is_needed, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
