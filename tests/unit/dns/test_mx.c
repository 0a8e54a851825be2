#include "dns/mx.h"

#include "tests/unit/unit.h"

#include <string.h>

/* Takes turns: what the shuffle needs is all of its values. */
struct counter {
    struct mx_random random;
    uint64_t seed;
};

static uint32_t next(struct mx_random *r)
{
    struct counter *c = container_of(r, struct counter, random);

    return (uint32_t)random_below(&c->seed, UINT32_MAX);
}

static struct answer answer;
static struct counter chance = { { next }, 1 };

static void add(unsigned preference, const char *host)
{
    struct answer_record *r = &answer.records[answer.count++];

    *r = (struct answer_record){ .preference = (uint16_t)preference };
    r->host_len = (uint8_t)strlen(host);
    memcpy(r->host, host, r->host_len);
}

/* "10 a, 20 b" in the order of the answer; the hosts that come out, in theirs. */
static const struct {
    const char *name, *records;
    enum dns_result result;
    const char *hosts;
} cases[] = {
    { "one", "10 a.test", DNS_OK, "a.test " },
    { "sorted", "20 b.test,10 a.test,30 c.test", DNS_OK, "a.test b.test c.test " },
    { "preference 0 and 65535", "65535 b.test,0 a.test", DNS_OK, "a.test b.test " },
    { "the same host twice", "20 a.test,10 b.test,10 a.test,30 c.test", DNS_OK, NULL },
    { "null MX", "0 .", DNS_NULL_MX, "" },
    { "null MX twice", "0 .,10 .", DNS_NULL_MX, "" },
    { "null MX and a host", "0 .,10 a.test", DNS_OK, "a.test " },
    { "a name that is none", "10 a b,20 c.test", DNS_OK, "c.test " },
    { "no name at all", "10 a b", DNS_MALFORMED, "" },
    { "null MX and no name", "10 a b,0 .", DNS_MALFORMED, "" },
};

static void read_records(const char *records)
{
    struct view rest = view_of(records);

    answer = (struct answer){ .status = ANSWER_OK };
    while (rest.len > 0) {
        struct view host = view_take_until(&rest, ',');
        struct view number = view_take_word(&host);
        uint64_t preference = 0;
        char name[64] = "";

        assert_true(view_to_u64(number, UINT16_MAX, &preference));
        if (!view_equal(host, VIEW(".")))
            memcpy(name, host.ptr, host.len);
        add((unsigned)preference, name);
    }
}

static void print_hosts(const struct dns_item *items, size_t count, struct buf *out)
{
    buf_put(out, VIEW(""));
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%.*s ", VIEW_ARG(items[i].host));
}

static void test_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct dns_item items[MX_HOSTS_MAX];
        char room[1024];
        struct buf hosts = BUF_ON_ARRAY(room);
        size_t count;

        read_records(cases[i].records);
        check(cases[i].name, mx_choose(&answer, &chance.random, items, &count) == cases[i].result);
        print_hosts(items, count, &hosts);
        if (cases[i].hosts != NULL)
            check_view(cases[i].name, buf_view(&hosts), view_of(cases[i].hosts));
        else
            check(cases[i].name, count == 3);
    }
}

/* Every host with the best preference is first about as often as the others. */
static void test_equal_ones_are_shuffled(void **state)
{
    unsigned first[4] = { 0 };
    struct dns_item items[MX_HOSTS_MAX];
    size_t count;

    (void)state;
    read_records("10 a.test,10 b.test,10 c.test,10 d.test,20 e.test");
    assert_int_equal(mx_choose(&answer, &chance.random, items, &count), DNS_OK);
    for (int i = 0; i < 4000; i++) {
        mx_shuffle(items, count, &chance.random);
        assert_int_equal(items[4].host.ptr[0], 'e');
        first[items[0].host.ptr[0] - 'a']++;
    }
    for (size_t i = 0; i < COUNT_OF(first); i++)
        assert_in_range(first[i], 850, 1150);
}

static void test_the_best_of_many(void **state)
{
    struct dns_item items[MX_HOSTS_MAX];
    size_t count;

    (void)state;
    answer = (struct answer){ .status = ANSWER_OK };
    for (unsigned i = 0; i < ANSWER_RECORDS_MAX; i++) {
        char host[] = { 'h', (char)('a' + i / 10), (char)('a' + i % 10), '\0' };

        add(1000 - i, host);
    }
    assert_int_equal(mx_choose(&answer, &chance.random, items, &count), DNS_OK);
    assert_int_equal(count, MX_HOSTS_MAX);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(items[i].preference, 1000 - (ANSWER_RECORDS_MAX - 1) + i);
}

/* Which of too many equal ones are kept is no matter of chance: they are the name of a site. */
static void test_the_same_of_many(void **state)
{
    bool kept[ANSWER_RECORDS_MAX] = { false };
    struct dns_item items[MX_HOSTS_MAX];
    size_t count, different = 0;

    (void)state;
    answer = (struct answer){ .status = ANSWER_OK };
    for (unsigned i = 0; i < ANSWER_RECORDS_MAX; i++) {
        char host[] = { 'h', (char)('a' + i / 10), (char)('a' + i % 10), '\0' };

        add(10, host);
    }
    for (int times = 0; times < 10; times++) {
        assert_int_equal(mx_choose(&answer, &chance.random, items, &count), DNS_OK);
        for (size_t i = 0; i < count; i++)
            kept[(items[i].host.ptr[1] - 'a') * 10 + items[i].host.ptr[2] - 'a'] = true;
    }
    for (size_t i = 0; i < ANSWER_RECORDS_MAX; i++)
        different += kept[i];
    assert_int_equal(different, MX_HOSTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_equal_ones_are_shuffled),
        cmocka_unit_test(test_the_best_of_many),
        cmocka_unit_test(test_the_same_of_many),
    };

    return cmocka_run_group_tests_name("mx", tests, NULL, NULL);
}
