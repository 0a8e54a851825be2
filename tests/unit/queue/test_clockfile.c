#include "queue/clockfile.h"

#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char line[] =
    "queue=00000001795695180123 wall=00000001795695180124 ended=0 crc=841945f1\n";

static void reads_what_it_writes(void **state)
{
    const struct store_clock c = { 1795695180123, 1795695180124, false };
    char room[128];
    struct buf text = BUF_ON_ARRAY(room);
    struct store_clock back;

    (void)state;
    assert_true(clockfile_encode(&c, &text));
    check_view("line", buf_view(&text), view_of(line));
    assert_true(clockfile_decode(buf_view(&text), &back));
    assert_true(back.queue_ms == c.queue_ms && back.wall_ms == c.wall_ms && !back.ended);
}

static void takes_nothing_that_is_damaged(void **state)
{
    struct store_clock back;
    char damaged[sizeof(line)];

    (void)state;
    for (size_t i = 0; i < strlen(line); i++) {
        assert_false(clockfile_decode(view_make(line, i), &back));
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(damaged, line, sizeof(line));
            damaged[i] = (char)(damaged[i] ^ 1 << bit);
            assert_false(clockfile_decode(view_make(damaged, strlen(line)), &back));
        }
    }
}

static bool last_is(struct box *b, uint64_t queue_ms, bool ended)
{
    struct store_clock last;

    return store_last_clock(b->store, &last) && last.queue_ms == queue_ms &&
           last.wall_ms == queue_ms + 1 && last.ended == ended;
}

static void note(struct box *b, uint64_t queue_ms, bool ended)
{
    const struct store_clock c = { queue_ms, queue_ms + 1, ended };

    store_note_clock(b->store, &c);
}

static void a_store_knows_when_it_was_there_last(void **state)
{
    struct store_clock last;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    assert_false(store_last_clock(b.store, &last));
    note(&b, 1000, false);
    assert_true(last_is(&b, 1000, false));
    note(&b, 2000, false);
    box_close(&b);
    box_open(&b, true);
    assert_true(last_is(&b, 2000, false));
    note(&b, 3000, false);
    note(&b, 4000, true);
    assert_false(last_is(&b, 4000, true)); /* not yet */
    box_close(&b);
    box_open(&b, true);
    assert_true(last_is(&b, 4000, true));
    note(&b, 5000, false);
    assert_true(last_is(&b, 5000, false));
    box_close(&b);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(takes_nothing_that_is_damaged),
        cmocka_unit_test(a_store_knows_when_it_was_there_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
