/* The file itself, to reach both ways of computing. */
#include "common/crc32c.c"

#include "tests/unit/unit.h"

/* RFC 3720, B.4, and the usual check value. */
static const struct {
    const char *name;
    struct view bytes;
    uint32_t crc;
} cases[] = {
    { "nothing", { NULL, 0 }, 0 },
    { "digits", VIEW_INIT("123456789"), 0xe3069283 },
    { "zeros", VIEW_INIT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
      0x8a9136aa },
    { "ones",
      VIEW_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
      0x62a8ab43 },
    { "rising",
      VIEW_INIT("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
                "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"),
      0x46dd794e },
};

static void gives_the_known_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check(cases[i].name, crc32c(0, cases[i].bytes) == cases[i].crc);
        check(cases[i].name, ~by_table(~0U, cases[i].bytes) == cases[i].crc);
    }
}

static void continues_at_any_cut(void **state)
{
    struct view all = cases[4].bytes;

    (void)state;
    for (size_t cut = 0; cut <= all.len; cut++) {
        uint32_t front = crc32c(0, view_sub(all, 0, cut));

        check("cut", crc32c(front, view_from(all, cut)) == cases[4].crc);
    }
}

static void both_ways_agree(void **state)
{
    char bytes[300];
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(uint8_t)random_below(&seed, 256);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        struct view part = view_from(view_make(bytes, sizeof(bytes)), i);

        check("any start", crc32c(0xabcd, part) == ~by_table(~0xabcdU, part));
        part = view_sub(part, 0, i % 17);
        check("short", crc32c(0xabcd, part) == ~by_table(~0xabcdU, part));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_known_values),
        cmocka_unit_test(continues_at_any_cut),
        cmocka_unit_test(both_ways_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
