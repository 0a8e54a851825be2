#include "queue/ledger.h"

#include "queue/idset.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static void add(struct ledger *l, uint64_t from, uint64_t to)
{
    for (; from <= to; from++)
        ledger_add(l, from)->begun = true;
}

static uint64_t needless(const struct ledger *l, uint64_t batch)
{
    const struct segment *s = ledger_needless(l, batch);

    return s == NULL ? 0 : s->number;
}

static void live_messages_keep_their_segment(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 3);
    check("an empty one goes", needless(&l, 0) == 1);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_come(ledger_find(&l, 1), 100);
    check("the next empty one", needless(&l, 0) == 2);
    ledger_find(&l, 3)->begun = false;
    check("not while its successor is not on the disk", needless(&l, 0) == 0);
    ledger_find(&l, 3)->begun = true;
    ledger_find(&l, 2)->writing = 1;
    check("not while it is written", needless(&l, 0) == 0);
    ledger_finish(&l, 101, 1, 100, 3, 7);
    check("one is left", needless(&l, 99) == 0);
    ledger_finish(&l, 102, 1, 100, 3, 8);
    check("only when the end is durable", needless(&l, 7) == 0);
    check("then", needless(&l, 8) == 1);
    ledger_release(&l);
}

static void the_end_outlives_what_it_ends(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 4);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_come(ledger_find(&l, 3), 100);
    ledger_finish(&l, 5, 1, 100, 2, 1); /* its end is in 2, and 1 has another live one */
    check("2 must stay while 1 is there", needless(&l, 9) == 0);
    ledger_finish(&l, 6, 1, 100, 4, 2);
    check("1 first", needless(&l, 9) == 1);
    ledger_remove(&l, ledger_find(&l, 1));
    check("then 2", needless(&l, 9) == 2);
    ledger_release(&l);
}

static void a_copy_outlives_what_it_copies(void **state)
{
    struct ledger l;
    struct segment *middle;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 4);
    middle = ledger_find(&l, 2);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_come(ledger_find(&l, 1), 50);
    ledger_tie(&l, 2, 1); /* one is copied to 2 */
    ledger_leave(&l, 1, 100, 3);
    ledger_come(middle, 110);
    ledger_finish(&l, 5, 2, 110, 2, 4);
    ledger_tie_end(&l, 2, 3);
    check("an end may go elsewhere, a copy not", ledger_is_tied_firmly(middle));
    ledger_untie(&l, middle, 5);
    check("tied by the copy alone", middle->tie_count == 1 && ledger_is_tied_firmly(middle));
    check("3, which holds nothing", needless(&l, 9) == 3);
    ledger_remove(&l, ledger_find(&l, 3));
    check("2 waits for 1", needless(&l, 9) == 0);
    ledger_leave(&l, 1, 50, 6);
    check("1", needless(&l, 5) == 0 && needless(&l, 6) == 1);
    ledger_remove(&l, ledger_find(&l, 1));
    check("2", !ledger_is_tied_firmly(middle) && needless(&l, 6) == 2);
    check("nothing lives", middle->live == 0 && middle->live_bytes == 0);
    ledger_release(&l);
}

static void knows_who_holds_a_state(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 3);
    check("none", ledger_holder(&l, 5, 0) == 0);
    ledger_note(&l, 5, 0, 1, 1, 64);
    ledger_note(&l, 5, LEDGER_CHANGE, 2, 1, 64);
    check("both", ledger_holder(&l, 5, 0) == 1 && ledger_holder(&l, 5, LEDGER_CHANGE) == 2);
    check("not of others", ledger_holder(&l, 6, 0) == 0 && ledger_holder(&l, 5, 1) == 0);
    ledger_note(&l, 5, 0, 3, 2, 64);
    check("the newest", ledger_holder(&l, 5, 0) == 3);
    ledger_release(&l);
}

static void what_is_written_anew_after_the_end_is_not_needed(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 3);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_note(&l, 5, 0, 1, 1, 64);
    ledger_finish(&l, 5, 1, 100, 1, 2);
    ledger_note(&l, 5, 0, 2, 3, 64); /* both records again, in 2 */
    ledger_finish_again(&l, 5, 1, 2, 4);
    check("1", needless(&l, 9) == 1);
    ledger_remove(&l, ledger_find(&l, 1));
    check("2", needless(&l, 9) == 2);
    ledger_release(&l);
}

/* What comes last need not be durable last. */
static void the_latest_reason_counts(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 3);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_note(&l, 7, 0, 1, 1, 64);
    ledger_note(&l, 7, 0, 2, 9, 64); /* batch 9 supersedes it */
    ledger_leave(&l, 1, 100, 8);
    check("not before that is durable", needless(&l, 8) == 0);
    check("then", needless(&l, 9) == 1);
    ledger_release(&l);
}

static void only_the_newest_state_is_needed(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, 1, 9);
    ledger_come(ledger_find(&l, 1), 100);
    ledger_note(&l, 7, 0, 2, 1, 64);
    ledger_note(&l, 7, 5, 2, 1, 64);
    ledger_note(&l, 7, LEDGER_CHANGE, 3, 2, 64);
    ledger_note(&l, 7, LEDGER_NOTICE, 4, 3, 64);
    check("the first that nobody needs", needless(&l, 99) == 5);
    ledger_note(&l, 7, 0, 5, 4, 64);
    check("2 has still that of recipient 5", needless(&l, 99) == 6);
    ledger_note(&l, 7, 5, 6, 5, 64);
    check("now it has nothing", needless(&l, 99) == 2);
    check("but not before that is durable", needless(&l, 4) == 7);
    ledger_note(&l, 7, LEDGER_CHANGE, 6, 6, 64);
    ledger_finish(&l, 7, 1, 100, 9, 7);
    check("nothing is needed any more", l.states.count == 0);
    for (uint64_t i = 1; i < 9; i++)
        check("not needed", ledger_find(&l, i)->needed == 0);
    ledger_release(&l);
}

/* Random operations against a plain table. */
static void agrees_with_a_model(void **state)
{
    enum { MESSAGES = 200, TOPICS = 6, SEGMENTS = 20 };
    static uint64_t model[MESSAGES + 1][TOPICS];
    static const unsigned topics[TOPICS] = { 0, 1, 2, 900, LEDGER_CHANGE, LEDGER_NOTICE };
    struct ledger l;
    uint64_t random = 5;

    (void)state;
    ledger_init(&l);
    add(&l, 1, SEGMENTS);
    for (int step = 0; step < 20000; step++) {
        uint64_t message = 1 + random_below(&random, MESSAGES);
        size_t topic = random_below(&random, TOPICS);
        uint64_t where = 1 + random_below(&random, SEGMENTS);

        if (random_below(&random, 8) == 0) {
            ledger_come(ledger_find(&l, 1), 100);
            ledger_finish(&l, message, 1, 100, SEGMENTS, 1);
            for (size_t t = 0; t < TOPICS; t++)
                model[message][t] = 0;
        } else {
            ledger_note(&l, message, topics[topic], where, 1, 64);
            model[message][topic] = where;
        }
    }
    for (uint64_t s = 1; s <= SEGMENTS; s++) {
        uint64_t count = 0;

        for (size_t m = 1; m <= MESSAGES; m++) {
            for (size_t t = 0; t < TOPICS; t++)
                count += model[m][t] == s;
        }
        check("as many", ledger_find(&l, s)->needed == count);
        check("as large", ledger_find(&l, s)->needed_bytes == count * 64);
    }
    ledger_release(&l);
}

static void segments_are_found_in_any_order(void **state)
{
    struct ledger l;
    uint64_t random = 3;
    uint64_t numbers[100];

    (void)state;
    ledger_init(&l);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        do
            numbers[i] = 1 + random_below(&random, 1000000);
        while (ledger_find(&l, numbers[i]) != NULL);
        ledger_add(&l, numbers[i]);
    }
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        check("there", ledger_find(&l, numbers[i])->number == numbers[i]);
    for (size_t i = 1; i < l.count; i++)
        check("in order", l.segments[i - 1]->number < l.segments[i]->number);
    ledger_release(&l);
}

static void a_set_has_what_was_added(void **state)
{
    struct idset s = { 0 };

    (void)state;
    check("empty", !idset_has(&s, 1));
    for (uint64_t i = 1; i < 10000; i++)
        idset_add(&s, i * 64);
    idset_add(&s, 64);
    check("count", s.count == 9999);
    for (uint64_t i = 1; i < 10000; i++)
        check("has", idset_has(&s, i * 64) && !idset_has(&s, i * 64 + 1));
    idset_release(&s);
}

/* Numbers of segments have 44 bits, of which less is remembered. */
static void knows_the_holder_by_its_whole_number(void **state)
{
    const uint64_t first = 0x19ffffffffe;
    struct ledger l;

    (void)state;
    ledger_init(&l);
    add(&l, first, first + 4);
    for (unsigned i = 0; i < 4; i++)
        ledger_note(&l, (first + i) << 20 | 7, 1000, first + i, 1, 64);
    for (unsigned i = 0; i < 4; i++) {
        check("it", ledger_holder(&l, (first + i) << 20 | 7, 1000) == first + i);
        check("no other", ledger_holder(&l, (first + i) << 20 | 8, 1000) == 0 &&
                              ledger_holder(&l, (first + i) << 20 | 7, LEDGER_CHANGE) == 0);
        ledger_forget(&l, (first + i) << 20 | 7, 1000, 2);
        check("needless", ledger_find(&l, first + i)->needed == 0);
    }
    ledger_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_messages_keep_their_segment),
        cmocka_unit_test(the_end_outlives_what_it_ends),
        cmocka_unit_test(a_copy_outlives_what_it_copies),
        cmocka_unit_test(knows_who_holds_a_state),
        cmocka_unit_test(knows_the_holder_by_its_whole_number),
        cmocka_unit_test(what_is_written_anew_after_the_end_is_not_needed),
        cmocka_unit_test(the_latest_reason_counts),
        cmocka_unit_test(only_the_newest_state_is_needed),
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(segments_are_found_in_any_order),
        cmocka_unit_test(a_set_has_what_was_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
