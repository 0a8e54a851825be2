#include "io/loop.h"

#include "io/clock.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What was called, in order, a letter each. */
static char journal[64];
static struct loop loop;

static void note(char what)
{
    size_t len = strlen(journal);

    assert_true(len + 1 < sizeof(journal));
    journal[len] = what;
    journal[len + 1] = '\0';
}

static void turn(void)
{
    journal[0] = '\0';
    assert_int_equal(loop_turn(&loop, 0), 0);
}

static int open_loop(void **state)
{
    (void)state;
    clock_freeze(0);
    return loop_init(&loop);
}

static int close_loop(void **state)
{
    (void)state;
    loop_release(&loop);
    return 0;
}

struct bell { /* a timer that notes its letter and starts itself again */
    struct timer timer;
    char letter;
    unsigned repeats;
    uint64_t after_ms;
};

static void on_bell(struct timer *t)
{
    struct bell *b = container_of(t, struct bell, timer);

    assert_false(timer_running(t));
    note(b->letter);
    if (b->repeats-- > 0)
        loop_start_timer(&loop, t, b->after_ms);
}

static void timers_fire_in_order(void **state)
{
    struct bell a = { { .fire = on_bell }, 'a', 0, 0 };
    struct bell b = { { .fire = on_bell }, 'b', 0, 0 };
    struct bell c = { { .fire = on_bell }, 'c', 0, 0 };

    (void)state;
    loop_start_timer(&loop, &a.timer, 300);
    loop_start_timer(&loop, &b.timer, 100);
    loop_start_timer(&loop, &c.timer, 200);
    turn();
    assert_string_equal(journal, "");
    clock_advance(99);
    turn();
    assert_string_equal(journal, "");
    clock_advance(1);
    turn();
    assert_string_equal(journal, "b");
    clock_advance(1000);
    turn();
    assert_string_equal(journal, "ca");
    assert_false(timer_running(&a.timer));
}

static void timers_stop_and_restart(void **state)
{
    struct bell a = { { .fire = on_bell }, 'a', 0, 0 };
    struct bell b = { { .fire = on_bell }, 'b', 0, 0 };

    (void)state;
    loop_start_timer(&loop, &a.timer, 100);
    loop_start_timer(&loop, &b.timer, 100);
    loop_start_timer(&loop, &a.timer, 200);
    loop_stop_timer(&loop, &b.timer);
    loop_stop_timer(&loop, &b.timer);
    clock_advance(100);
    turn();
    assert_string_equal(journal, "");
    clock_advance(100);
    turn();
    assert_string_equal(journal, "a");
}

static void a_timer_beyond_the_end_of_time_waits(void **state)
{
    struct bell a = { { .fire = on_bell }, 'a', 0, 0 };

    (void)state;
    loop_start_timer(&loop, &a.timer, UINT64_MAX);
    clock_advance(1000000);
    turn();
    assert_string_equal(journal, "");
    loop_stop_timer(&loop, &a.timer);
}

static void a_timer_without_delay_leaves_the_turn_to_others(void **state)
{
    struct bell a = { { .fire = on_bell }, 'a', 2, 0 }, later[10];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        later[i] = (struct bell){ { .fire = on_bell }, 'l', 0, 0 };
        loop_start_timer(&loop, &later[i].timer, 1000);
    }
    loop_start_timer(&loop, &a.timer, 0);
    turn();
    assert_string_equal(journal, "a");
    turn();
    assert_string_equal(journal, "a");
    turn();
    turn();
    assert_string_equal(journal, "");
    for (size_t i = 0; i < COUNT_OF(later); i++)
        loop_stop_timer(&loop, &later[i].timer);
}

struct chore {
    struct deferred deferred;
    unsigned repeats;
};

static void on_chore(struct deferred *d)
{
    struct chore *c = container_of(d, struct chore, deferred);

    note('d');
    if (c->repeats-- > 0)
        loop_defer(&loop, d);
}

static void on_hook(struct hook *h)
{
    (void)h;
    note('h');
}

static void deferred_calls_come_once_and_before_hooks(void **state)
{
    struct chore c = { { .run = on_chore }, 1 };
    struct bell a = { { .fire = on_bell }, 'a', 0, 0 };
    struct hook hook = { .run = on_hook };

    (void)state;
    loop_before_sleep(&loop, &hook);
    loop_start_timer(&loop, &a.timer, 0);
    loop_defer(&loop, &c.deferred);
    loop_defer(&loop, &c.deferred);
    turn();
    assert_string_equal(journal, "adh");
    /* Deferred again by itself: the next turn does not sleep. */
    journal[0] = '\0';
    assert_int_equal(loop_turn(&loop, 60000), 0);
    assert_string_equal(journal, "dh");
    turn();
    assert_string_equal(journal, "h");
}

static void on_last_hook(struct hook *h)
{
    (void)h;
    note('l');
}

static void on_hook_with_last_words(struct hook *h)
{
    static struct hook last = { .run = on_last_hook };

    if (last.link.next == NULL)
        list_init(&last.link);
    on_hook(h);
    loop_at_last(&loop, &last);
    loop_at_last(&loop, &last);
}

static void last_words_come_once_and_after_hooks(void **state)
{
    struct hook saying = { .run = on_hook_with_last_words }, other = { .run = on_hook };
    struct hook taken_back = { .run = on_last_hook };

    (void)state;
    loop_before_sleep(&loop, &saying);
    loop_before_sleep(&loop, &other);
    turn();
    assert_string_equal(journal, "hhl");
    list_remove(&saying.link);
    list_init(&taken_back.link);
    loop_at_last(&loop, &taken_back);
    list_remove(&taken_back.link);
    turn();
    assert_string_equal(journal, "h");
    journal[0] = '\0';
    loop_at_last(&loop, &taken_back);
    assert_int_equal(loop_turn(&loop, 60000), 0);
    assert_string_equal(journal, "hl");
}

struct end { /* one end of a socket pair */
    struct watch watch;
    char letter;
    unsigned what;
    struct watch *unwatches; /* in its callback */
    int peer;
};

static void on_end(struct watch *w, unsigned what)
{
    struct end *e = container_of(w, struct end, watch);

    note(e->letter);
    e->what = what;
    if (e->unwatches != NULL)
        loop_unwatch(&loop, e->unwatches);
}

static void open_end(struct end *e, char letter)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *e = (struct end){ { .fd = fds[0], .ready = on_end }, letter, 0, NULL, fds[1] };
}

static void close_end(struct end *e)
{
    loop_unwatch(&loop, &e->watch);
    close(e->watch.fd);
    if (e->peer >= 0)
        close(e->peer);
}

static void watches_report_what_is_wanted(void **state)
{
    struct end e;

    (void)state;
    open_end(&e, 'e');
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ), 0);
    turn();
    assert_string_equal(journal, "");
    assert_int_equal(write(e.peer, "x", 1), 1);
    turn();
    assert_int_equal(e.what, WANT_READ);
    turn(); /* level-triggered */
    assert_string_equal(journal, "e");
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_WRITE), 0);
    turn();
    assert_int_equal(e.what, WANT_WRITE);
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ | WANT_WRITE), 0);
    turn();
    assert_int_equal(e.what, WANT_READ | WANT_WRITE);
    assert_int_equal(loop_watch(&loop, &e.watch, 0), 0);
    assert_false(e.watch.added);
    turn();
    assert_string_equal(journal, "");
    close_end(&e);
}

static void a_hang_up_comes_as_both(void **state)
{
    struct end e;

    (void)state;
    open_end(&e, 'e');
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ), 0);
    close(e.peer);
    e.peer = -1;
    turn();
    assert_int_equal(e.what, WANT_READ | WANT_WRITE);
    close_end(&e);
}

static void an_unwatched_end_is_not_called_in_the_same_turn(void **state)
{
    struct end ends[2];

    (void)state;
    open_end(&ends[0], 'a');
    open_end(&ends[1], 'b');
    for (int i = 0; i < 2; i++) {
        ends[i].unwatches = &ends[1 - i].watch;
        assert_int_equal(loop_watch(&loop, &ends[i].watch, WANT_READ), 0);
        assert_int_equal(write(ends[i].peer, "x", 1), 1);
    }
    turn();
    assert_int_equal(strlen(journal), 1);
    close_end(&ends[0]);
    close_end(&ends[1]);
}

static void shared_watches_can_be_changed(void **state)
{
    struct end e;

    (void)state;
    open_end(&e, 'e');
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ | WANT_SHARED), 0);
    assert_int_equal(write(e.peer, "x", 1), 1);
    turn();
    assert_int_equal(e.what, WANT_READ);
    assert_int_equal(loop_watch(&loop, &e.watch, 0), 0);
    turn();
    assert_string_equal(journal, "");
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ | WANT_SHARED), 0);
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_WRITE), 0);
    turn();
    assert_int_equal(e.what, WANT_WRITE);
    assert_int_equal(loop_watch(&loop, &e.watch, WANT_READ | WANT_SHARED), 0);
    turn();
    assert_int_equal(e.what, WANT_READ);
    close_end(&e);
}

static void on_last(struct timer *t)
{
    (void)t;
    note('l');
    loop_stop(&loop);
}

static void runs_until_stopped(void **state)
{
    struct timer last = { .fire = on_last };
    struct hook hook = { .run = on_hook };

    (void)state;
    journal[0] = '\0';
    loop_before_sleep(&loop, &hook);
    loop_start_timer(&loop, &last, 0);
    assert_int_equal(loop_run(&loop), 0);
    assert_string_equal(journal, "hlh");
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_TEST(timers_fire_in_order),
        LOOP_TEST(timers_stop_and_restart),
        LOOP_TEST(a_timer_beyond_the_end_of_time_waits),
        LOOP_TEST(a_timer_without_delay_leaves_the_turn_to_others),
        LOOP_TEST(deferred_calls_come_once_and_before_hooks),
        LOOP_TEST(last_words_come_once_and_after_hooks),
        LOOP_TEST(watches_report_what_is_wanted),
        LOOP_TEST(a_hang_up_comes_as_both),
        LOOP_TEST(an_unwatched_end_is_not_called_in_the_same_turn),
        LOOP_TEST(shared_watches_can_be_changed),
        LOOP_TEST(runs_until_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
