/* Whose mail hosts are looked up first, with thousands of domains whose name servers are silent. */
#include "queue/mx.h"

#include "tests/unit/unit.h"

#include "tests/unit/queue/world.h"

#include <stdio.h>

enum { SECOND = 1000, EACH = 1000, MAILINGS = 10, SILENT = EACH * MAILINGS };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static unsigned good_at;       /* the number of the question about good.test; 0: not asked */
static unsigned poor;          /* questions about poor*.test */
static unsigned poor_most;     /* in one window */

static void on_asked(struct view domain)
{
    if (view_equal(domain, VIEW("good.test")))
        good_at = world.asked;
    poor += view_starts(domain, VIEW("poor")) ? 1 : 0;
}

static int open_world(void **state)
{
    world_open(state);
    world.on_asked = on_asked;
    world.silent = true;
    good_at = poor = poor_most = 0;
    return 0;
}

/* One message to a thousand domains. */
static void send_mailing(const char *sender, const char *name, unsigned first)
{
    static char room[EACH * 32];
    struct buf recipients = BUF_ON_ARRAY(room);

    for (unsigned i = first; i < first + EACH; i++)
        buf_printf(&recipients, "x@%s%u.test ", name, i);
    buf_put_byte(&recipients, '\0');
    world_accept(sender, room, body);
}

static void send_mailings(const char *sender)
{
    for (unsigned i = 0; i < MAILINGS; i++)
        send_mailing(sender, "silent", i * EACH);
}

static void pass_windows(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned before = poor;

        world_pass(MX_YOUNG_MS);
        poor_most = MAX(poor_most, poor - before);
    }
}

/* It comes when all of them wait, and not one of them is ever answered. */
static void nobody_waits_for_the_silent_domains_of_others(void **state)
{
    (void)state;
    send_mailings("news@here.test");
    assert_int_equal(world.asked, MX_YOUNG_MAX);
    world_accept("reset@here.test", "x@good.test", body);
    assert_int_equal(good_at, 0);
    pass_windows(1);
    assert_in_range(good_at, MX_YOUNG_MAX + 1, MX_YOUNG_MAX + 2);
    pass_windows(SILENT / MX_YOUNG_MAX);
    assert_int_equal(world.asked, SILENT + 1); /* their turn came, too */
}

/* As one that sends everything: those before take every second turn. */
static void nor_for_those_of_the_same_sender(void **state)
{
    (void)state;
    send_mailings("news@here.test");
    world_accept("news@here.test", "x@good.test", body);
    pass_windows(1);
    assert_in_range(good_at, MX_YOUNG_MAX + 1, MX_YOUNG_MAX + 2);
}

static void nor_where_another_has_asked_for_the_same(void **state)
{
    (void)state;
    send_mailing("news@here.test", "silent", 0);
    world_accept("news@here.test", "x@good.test", body);
    send_mailing("news@here.test", "more", 0);
    world_accept("reset@here.test", "x@good.test", body);
    pass_windows(1);
    assert_in_range(good_at, MX_YOUNG_MAX + 1, MX_YOUNG_MAX + 2);
}

static void urgent_mail_has_turns_of_its_own(void **state)
{
    (void)state;
    send_mailings("news@here.test");
    for (int i = 0; i < 2; i++) { /* the newest would be the other one */
        world.said.priority = i == 0 ? 4 : 0;
        world_accept("news@here.test", i == 0 ? "x@good.test" : "x@other.test", body);
    }
    pass_windows(1);
    assert_in_range(good_at, MX_YOUNG_MAX + 1, MX_YOUNG_MAX + 2);
}

/* Those that were asked in vain before have a quarter of the time, as long as others are new; and
 * no job is lost on them before the answer. */
static void a_first_question_goes_before_one_asked_in_vain(void **state)
{
    enum { POOR = 38, PROBE_MS = 15 * SECOND };
    char to[32];

    (void)state;
    world.silent = false;
    for (unsigned i = 0; i < POOR; i++) {
        snprintf(to, sizeof(to), "x@poor%u.test", i);
        world_accept("s@here.test", to, body);
        world_fault(world_job(i));
    }
    world_run();
    assert_int_equal(poor, POOR);
    world.silent = true;
    world_pass(PROBE_MS - MX_YOUNG_MS);
    send_mailings("news@here.test");
    poor_most = 0;
    pass_windows(SILENT / MX_YOUNG_MAX + 2);
    assert_int_equal(poor, 2 * POOR);
    assert_int_equal(poor_most, MX_AGAIN_MAX);
    assert_int_equal(world.asked, SILENT + 2 * POOR);
    assert_int_equal(world.job_count, POOR);
}

/* Though what is known of its hosts gets old before: else it might never have it. */
static void who_waits_for_a_turn_keeps_it(void **state)
{
    enum { SITES = 60 };
    char to[32];
    unsigned begun;

    (void)state;
    world.silent = false;
    for (unsigned i = 0; i < SITES; i++) {
        snprintf(to, sizeof(to), "x@poor%u.test", i);
        world_accept("s@here.test", to, body);
    }
    begun = world.job_count;
    assert_true(begun < SITES); /* the worker takes no more */
    world_pass(2 * MX_VAIN_MS);
    world.silent = true;
    for (unsigned i = 0; i < SITES - begun; i++)
        world_deliver(world_job(i));
    assert_int_equal(world.job_count, SITES);
}

/* No time passes. */
static void answers_make_room_at_once(void **state)
{
    (void)state;
    world.silent = false;
    send_mailing("news@here.test", "fine", 0);
    for (unsigned i = 0; i < EACH / MX_YOUNG_MAX; i++)
        world_run();
    assert_int_equal(world.asked, EACH);
    assert_int_equal(world.queue.index.sites.count, EACH);
}

static void what_is_open_is_bounded(void **state)
{
    (void)state;
    send_mailings("news@here.test");
    send_mailing("news@here.test", "more", 0);
    send_mailing("news@here.test", "most", 0);
    send_mailing("news@here.test", "good", 0);
    pass_windows((SILENT + 3 * EACH) / MX_YOUNG_MAX + 1);
    assert_int_equal(world.asked, MX_ASKED_MAX);
    world_lose_worker(&world.workers[0]);
    world.silent = false;
    world_add_worker(DELIVERY, 0);
    pass_windows(100);
    assert_true(world.asked >= MX_ASKED_MAX + SILENT + 3 * EACH);
}

int main(void)
{
#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, world_close)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(nobody_waits_for_the_silent_domains_of_others),
        WORLD_TEST(nor_for_those_of_the_same_sender),
        WORLD_TEST(nor_where_another_has_asked_for_the_same),
        WORLD_TEST(urgent_mail_has_turns_of_its_own),
        WORLD_TEST(a_first_question_goes_before_one_asked_in_vain),
        WORLD_TEST(who_waits_for_a_turn_keeps_it),
        WORLD_TEST(answers_make_room_at_once),
        WORLD_TEST(what_is_open_is_bounded),
    };

    return cmocka_run_group_tests_name("lookups", tests, NULL, NULL);
}
