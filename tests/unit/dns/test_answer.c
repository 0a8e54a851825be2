#include "dns/answer.h"

#include "tests/unit/dns/packet.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct view one = VIEW_INIT("\xc0\x00\x02\x01");
static const struct view two = VIEW_INIT("\xc0\x00\x02\x02");

static struct packet packet;
static struct answer answer;

static void build_two_hosts(struct packet *p)
{
    add_mx(p, "@", 300, 10, "MX1.There.Test");
    add_mx(p, "there.test", 200, 20, "mx2.there.test");
}

static void build_addresses(struct packet *p)
{
    add_address(p, "@", 60, one);
    add_address(p, "@", 60, two);
}

static void build_foreign_owner(struct packet *p)
{
    add_address(p, "elsewhere.test", 60, one);
    add_address(p, "@", 60, two);
}

static void build_alias(struct packet *p)
{
    add_cname(p, "@", 30, "real.test");
    add_address(p, "real.test", 60, one);
}

static void build_alias_backwards(struct packet *p)
{
    add_address(p, "c.test", 60, one);
    add_cname(p, "b.test", 30, "c.test");
    add_cname(p, "@", 90, "b.test");
}

static void build_alias_to_nothing(struct packet *p)
{
    add_cname(p, "@", 30, "real.test");
    add_soa(p, 600, 100);
}

static void build_alias_loop(struct packet *p)
{
    add_cname(p, "@", 30, "b.test");
    add_cname(p, "b.test", 30, "a.test");
    add_cname(p, "a.test", 30, "b.test");
}

static void build_aliases(struct packet *p, unsigned count)
{
    for (char c = 'a'; c < 'a' + (char)count; c++) {
        char owner[] = { c, '.', 't', '\0' };
        char target[] = { (char)(c + 1), '.', 't', '\0' };

        add_cname(p, c == 'a' ? "@" : owner, 30, target);
        if (c + 1 == 'a' + (char)count)
            add_address(p, target, 60, one);
    }
}

static void build_eight_aliases(struct packet *p)
{
    build_aliases(p, 8);
}

static void build_nine_aliases(struct packet *p)
{
    build_aliases(p, 9);
}

static void build_strange_alias(struct packet *p)
{
    add_cname(p, "@", 30, "a b.test");
}

static void build_nothing(struct packet *p)
{
    add_soa(p, 600, 900);
}

static void build_referral(struct packet *p)
{
    add_ns(p, "test", "ns.test");
}

static void build_name_servers_and_soa(struct packet *p)
{
    add_ns(p, "test", "ns.test");
    add_soa(p, 600, 900);
}

static void build_without_soa(struct packet *p)
{
    (void)p;
}

static void build_null_mx(struct packet *p)
{
    add_mx(p, "@", 300, 0, "");
}

static void build_names(struct packet *p)
{
    add_ptr(p, "@", 300, "One.There.Test");
    add_ptr(p, "@", 200, "two.there.test");
}

/* RFC 2317, 4 */
static void build_name_by_alias(struct packet *p)
{
    add_cname(p, "@", 90, "1.0/25.2.0.192.in-addr.arpa");
    add_ptr(p, "1.0/25.2.0.192.in-addr.arpa", 300, "one.there.test");
}

static void build_name_with_rest(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 12, 60);

    put_name(p, "one.there.test");
    put_u16(p, 0);
    end_record(p, start);
}

static void build_short_address(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 1, 60);

    buf_put(&p->buf, view_sub(one, 0, 3));
    end_record(p, start);
}

static void build_long_address(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 1, 60);

    buf_put(&p->buf, one);
    buf_put_byte(&p->buf, 0);
    end_record(p, start);
}

static void build_pointer_to_itself(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 5, 60);

    put_u16(p, 0xc000 | (unsigned)start);
    end_record(p, start);
}

static void build_pointer_forwards(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 5, 60);

    put_u16(p, 0xc000 | ((unsigned)start + 2));
    end_record(p, start);
    put_name(p, "later.test");
}

/* 12: question; the label before the pointer leads back into itself. */
static void build_pointer_round(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 5, 60);

    buf_put(&p->buf, VIEW("\1a"));
    put_u16(p, 0xc000 | (unsigned)start);
    end_record(p, start);
}

static void build_reserved_label(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 5, 60);

    buf_put(&p->buf, VIEW("\x81\x00"));
    end_record(p, start);
}

static void build_long_name(struct packet *p)
{
    size_t start = begin_record(p, 0, "@", 5, 60);

    for (int i = 0; i < 127; i++)
        buf_put(&p->buf, VIEW("\1a"));
    put_name(p, "a");
    end_record(p, start);
}

static void build_longest_name(struct packet *p)
{
    char name[ANSWER_NAME_MAX + 1];

    for (size_t i = 0; i < ANSWER_NAME_MAX; i++)
        name[i] = i % 2 == 0 ? 'a' : '.';
    name[ANSWER_NAME_MAX] = '\0';
    add_mx(p, "@", 60, 10, name);
}

static void build_cut_record(struct packet *p)
{
    add_address(p, "@", 60, one);
    buf_truncate(&p->buf, buf_len(&p->buf) - 1);
}

static void build_too_few_records(struct packet *p)
{
    add_address(p, "@", 60, one);
    count_record(p, 0);
}

static void build_huge_ttl(struct packet *p)
{
    add_address(p, "@", 0x80000001, one);
}

/* clang-format off */
static const struct {
    const char *name;
    unsigned bits;
    enum answer_type type;
    void (*build)(struct packet *p);
    enum answer_status status;
    size_t count;
    uint32_t ttl_s;
} cases[] = {
    { "two hosts",              PACKET_ANSWER, ANSWER_MX, build_two_hosts, ANSWER_OK, 2, 200 },
    { "addresses",              PACKET_ANSWER, ANSWER_A, build_addresses, ANSWER_OK, 2, 60 },
    { "another type",           PACKET_ANSWER, ANSWER_AAAA, build_addresses, ANSWER_NO_DATA, 0, 0 },
    { "another name",           PACKET_ANSWER, ANSWER_A, build_foreign_owner, ANSWER_OK, 1, 60 },
    { "alias",                  PACKET_ANSWER, ANSWER_A, build_alias, ANSWER_OK, 1, 30 },
    { "aliases, last first",    PACKET_ANSWER, ANSWER_A, build_alias_backwards, ANSWER_OK, 1, 30 },
    { "alias to nothing",       PACKET_ANSWER, ANSWER_A, build_alias_to_nothing, ANSWER_NO_DATA,
      0, 30 },
    { "alias to no domain",     PACKET_ANSWER | 3, ANSWER_A, build_alias_to_nothing,
      ANSWER_NO_DOMAIN, 0, 30 },
    { "alias loop",             PACKET_ANSWER, ANSWER_A, build_alias_loop, ANSWER_MALFORMED, 0, 0 },
    { "eight aliases",          PACKET_ANSWER, ANSWER_A, build_eight_aliases, ANSWER_OK, 1, 30 },
    { "nine aliases",           PACKET_ANSWER, ANSWER_A, build_nine_aliases, ANSWER_MALFORMED,
      0, 0 },
    { "alias with a blank",     PACKET_ANSWER, ANSWER_A, build_strange_alias, ANSWER_MALFORMED,
      0, 0 },
    { "no data, SOA's TTL",     PACKET_ANSWER, ANSWER_A, build_nothing, ANSWER_NO_DATA, 0, 600 },
    { "no domain",              PACKET_ANSWER | 3, ANSWER_MX, build_nothing, ANSWER_NO_DOMAIN,
      0, 600 },
    { "no domain, no SOA",      PACKET_ANSWER | 3, ANSWER_MX, build_without_soa, ANSWER_NO_DOMAIN,
      0, 0 },
    { "sent on to others",      PACKET_ANSWER, ANSWER_MX, build_referral, ANSWER_FAILED, 0, 0 },
    { "no data, and others",    PACKET_ANSWER, ANSWER_MX, build_name_servers_and_soa,
      ANSWER_NO_DATA, 0, 600 },
    { "no data, who knows it",  PACKET_ANSWER | 0x400, ANSWER_MX, build_referral, ANSWER_NO_DATA,
      0, 0 },
    { "null MX",                PACKET_ANSWER, ANSWER_MX, build_null_mx, ANSWER_OK, 1, 300 },
    { "names of an address",    PACKET_ANSWER, ANSWER_PTR, build_names, ANSWER_OK, 2, 200 },
    { "name by alias",          PACKET_ANSWER, ANSWER_PTR, build_name_by_alias, ANSWER_OK, 1, 90 },
    { "name and more",          PACKET_ANSWER, ANSWER_PTR, build_name_with_rest, ANSWER_MALFORMED,
      0, 0 },
    { "SERVFAIL",               PACKET_ANSWER | 2, ANSWER_MX, build_two_hosts, ANSWER_FAILED,
      0, 0 },
    { "REFUSED",                PACKET_ANSWER | 5, ANSWER_MX, build_nothing, ANSWER_FAILED, 0, 0 },
    { "truncated",              PACKET_ANSWER | 0x200, ANSWER_MX, build_two_hosts, ANSWER_FAILED,
      0, 0 },
    { "not an answer",          0x0100, ANSWER_MX, build_two_hosts, ANSWER_MALFORMED, 0, 0 },
    { "another opcode",         PACKET_ANSWER | 0x2800, ANSWER_MX, build_two_hosts,
      ANSWER_MALFORMED, 0, 0 },
    { "address of three bytes", PACKET_ANSWER, ANSWER_A, build_short_address, ANSWER_MALFORMED,
      0, 0 },
    { "address of five bytes",  PACKET_ANSWER, ANSWER_A, build_long_address, ANSWER_MALFORMED,
      0, 0 },
    { "pointer to itself",      PACKET_ANSWER, ANSWER_A, build_pointer_to_itself, ANSWER_MALFORMED,
      0, 0 },
    { "pointer forwards",       PACKET_ANSWER, ANSWER_A, build_pointer_forwards, ANSWER_MALFORMED,
      0, 0 },
    { "pointer in a circle",    PACKET_ANSWER, ANSWER_A, build_pointer_round, ANSWER_MALFORMED,
      0, 0 },
    { "reserved label type",    PACKET_ANSWER, ANSWER_A, build_reserved_label, ANSWER_MALFORMED,
      0, 0 },
    { "name of 255 bytes",      PACKET_ANSWER, ANSWER_A, build_long_name, ANSWER_MALFORMED, 0, 0 },
    { "name of 253 bytes",      PACKET_ANSWER, ANSWER_MX, build_longest_name, ANSWER_OK, 1, 60 },
    { "cut record",             PACKET_ANSWER, ANSWER_A, build_cut_record, ANSWER_MALFORMED, 0, 0 },
    { "fewer than announced",   PACKET_ANSWER, ANSWER_A, build_too_few_records, ANSWER_MALFORMED,
      0, 0 },
    { "TTL with the top bit",   PACKET_ANSWER, ANSWER_A, build_huge_ttl, ANSWER_OK, 1, 0 },
};
/* clang-format on */

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin_packet(&packet, cases[i].bits, "There.test", cases[i].type);
        cases[i].build(&packet);
        answer_read(buf_view(&packet.buf), VIEW("there.test"), cases[i].type, &answer);
        if (answer.status != cases[i].status)
            fail_msg("%s: status %d", cases[i].name, (int)answer.status);
        check(cases[i].name, answer.count == cases[i].count);
        check(cases[i].name, answer.ttl_s == cases[i].ttl_s);
    }
}

/* No beginning of a good answer is a good answer, and none does harm. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    begin_packet(&packet, PACKET_ANSWER, "there.test", ANSWER_MX);
    build_two_hosts(&packet);
    for (size_t len = 0; len < buf_len(&packet.buf); len++) {
        answer_read(view_sub(buf_view(&packet.buf), 0, len), VIEW("there.test"), ANSWER_MX,
                    &answer);
        assert_int_equal(answer.status, ANSWER_MALFORMED);
    }
}

static void test_hosts_are_lower_case(void **state)
{
    (void)state;
    begin_packet(&packet, PACKET_ANSWER, "there.test", ANSWER_MX);
    build_two_hosts(&packet);
    answer_read(buf_view(&packet.buf), VIEW("there.test"), ANSWER_MX, &answer);
    check_view("first", view_make(answer.records[0].host, answer.records[0].host_len),
               VIEW("mx1.there.test"));
    assert_int_equal(answer.records[0].preference, 10);
    assert_int_equal(answer.records[1].preference, 20);
}

static void test_another_question(void **state)
{
    (void)state;
    begin_packet(&packet, PACKET_ANSWER, "there.test", ANSWER_MX);
    build_two_hosts(&packet);
    answer_read(buf_view(&packet.buf), VIEW("here.test"), ANSWER_MX, &answer);
    assert_int_equal(answer.status, ANSWER_MALFORMED);
    answer_read(buf_view(&packet.buf), VIEW("there.test"), ANSWER_A, &answer);
    assert_int_equal(answer.status, ANSWER_MALFORMED);
}

static void test_a_thousand_records(void **state)
{
    (void)state;
    begin_packet(&packet, PACKET_ANSWER, "there.test", ANSWER_A);
    for (int i = 0; i < 1000; i++)
        add_address(&packet, "@", 60, one);
    answer_read(buf_view(&packet.buf), VIEW("there.test"), ANSWER_A, &answer);
    assert_int_equal(answer.status, ANSWER_OK);
    assert_int_equal(answer.count, ANSWER_RECORDS_MAX);
}

/* The most preferred come last. */
static void test_the_best_of_many_hosts(void **state)
{
    enum { HOSTS = 600 };

    (void)state;
    begin_packet(&packet, PACKET_ANSWER, "there.test", ANSWER_MX);
    for (unsigned i = 0; i < HOSTS; i++)
        add_mx(&packet, "@", 60, HOSTS - i, "mx.test");
    answer_read(buf_view(&packet.buf), VIEW("there.test"), ANSWER_MX, &answer);
    assert_int_equal(answer.status, ANSWER_OK);
    assert_int_equal(answer.count, ANSWER_RECORDS_MAX);
    for (size_t i = 0; i < answer.count; i++)
        assert_in_range(answer.records[i].preference, 1, ANSWER_RECORDS_MAX);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } names[] = {
        { "example.org", true },
        { "a", true },
        { "_dmarc.example.org", true },
        { "192.0.2.1", true },
        { "", false },
        { ".", false },
        { "example.org.", false },
        { "a..b", false },
        { ".a", false },
        { "a b", false },
        { "a\\b", false },
        { "b\xc3\xbc"
          "cher.test",
          false },
        { "[192.0.2.1]", false },
        { "a/b", false },
        { "a23456789012345678901234567890123456789012345678901234567890123", true },
        { "a234567890123456789012345678901234567890123456789012345678901234", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        check(names[i].name, answer_name_valid(view_of(names[i].name)) == names[i].valid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_hosts_are_lower_case),
        cmocka_unit_test(test_another_question),
        cmocka_unit_test(test_a_thousand_records),
        cmocka_unit_test(test_the_best_of_many_hosts),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
