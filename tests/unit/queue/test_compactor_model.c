/* Random operations, and crashes between. */
#include "tests/unit/queue/model.h"
#include "tests/unit/unit.h"

enum { OPERATIONS = 400 };

static uint64_t first_seed = 1, seeds = 3;

static void agrees_with_a_model(void **state)
{
    uint64_t moved = 0, outcomes_moved = 0;

    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        struct model *m = model_new(seed);

        for (unsigned i = 0; i < OPERATIONS; i++) {
            model_do_something(m);
            if (model_pick(m, 60) == 0)
                model_crash(m);
        }
        model_wait_until_small(m);
        box_settle(&m->box);
        box_close(&m->box);
        model_open(m);
        moved += m->moved;
        outcomes_moved += m->outcomes_moved;
        model_end(m);
    }
    check("messages were moved", moved > 10 * seeds);
    check("outcomes were moved", outcomes_moved > 2 * seeds);
}

/* test_compactor_model [first seed, count of seeds] */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),
    };

    if (argc == 3 && (!view_to_u64(view_of(argv[1]), UINT32_MAX, &first_seed) ||
                      !view_to_u64(view_of(argv[2]), UINT32_MAX, &seeds)))
        return 64;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
