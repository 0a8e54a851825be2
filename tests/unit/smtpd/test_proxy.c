#include "smtpd/proxy.h"

#include "common/crc32c.h"
#include "tests/unit/unit.h"

#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdb\x24\x00\x19"
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"                                                   \
    "\xdb\x24\x00\x19"

/* clang-format off */
static const struct {
    const char *name;
    struct view input;
    enum proxy_result wanted;
    size_t bytes;       /* of the header */
    const char *client; /* with its port */
} cases[] = {
    /* version 1 */
    { "IPv4", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56100 25\r\n"), PROXY_CLIENT, 44, "192.0.2.1:56100" },
    { "what follows", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56100 25\r\nEHLO a\r\n"), PROXY_CLIENT, 44, "192.0.2.1:56100" },
    { "IPv6", VIEW_INIT("PROXY TCP6 2001:db8::1 2001:db8::2 56100 25\r\n"), PROXY_CLIENT, 45, "[2001:db8::1]:56100" },
    { "port 0", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 0 25\r\n"), PROXY_CLIENT, 40, "192.0.2.1:0" },
    { "unknown", VIEW_INIT("PROXY UNKNOWN\r\n"), PROXY_ITSELF, 15, NULL },
    { "unknown, with words", VIEW_INIT("PROXY UNKNOWN ff:ff 1 2 3\r\n"), PROXY_ITSELF, 27, NULL },
    { "small letters", VIEW_INIT("proxy TCP4 192.0.2.1 198.51.100.1 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "families mixed", VIEW_INIT("PROXY TCP4 2001:db8::1 198.51.100.1 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "families mixed, 6", VIEW_INIT("PROXY TCP6 192.0.2.1 2001:db8::2 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "no port", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56100\r\n"), PROXY_INVALID, 0, NULL },
    { "one word more", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56100 25 x\r\n"), PROXY_INVALID, 0, NULL },
    { "two blanks", VIEW_INIT("PROXY TCP4  192.0.2.1 198.51.100.1 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "large port", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"), PROXY_INVALID, 0, NULL },
    { "leading zero", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 080 25\r\n"), PROXY_INVALID, 0, NULL },
    { "a name", VIEW_INIT("PROXY TCP4 localhost 198.51.100.1 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "bare LF", VIEW_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56100 25\n"), PROXY_INVALID, 0, NULL },
    { "other protocol", VIEW_INIT("PROXY UDP4 192.0.2.1 198.51.100.1 56100 25\r\n"), PROXY_INVALID, 0, NULL },
    { "no end", VIEW_INIT("PROXY UNKNOWN 12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"), PROXY_INVALID, 0, NULL },
    { "an end too late", VIEW_INIT("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234\r\n"), PROXY_INVALID, 0, NULL },
    { "the longest", VIEW_INIT("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901\r\n"), PROXY_ITSELF, 107, NULL },
    { "a client", VIEW_INIT("EHLO client.test\r\n"), PROXY_INVALID, 0, NULL },
    { "nothing", VIEW_INIT(""), PROXY_MORE, 0, NULL },
    { "a beginning", VIEW_INIT("PRO"), PROXY_MORE, 0, NULL },
    /* version 2 */
    { "2, IPv4", VIEW_INIT(SIGNATURE "\x21\x11\x00\x0c" V4), PROXY_CLIENT, 28, "192.0.2.1:56100" },
    { "2, IPv4 and more", VIEW_INIT(SIGNATURE "\x21\x11\x00\x0c" V4 "EHLO"), PROXY_CLIENT, 28, "192.0.2.1:56100" },
    { "2, datagrams", VIEW_INIT(SIGNATURE "\x21\x12\x00\x0c" V4), PROXY_CLIENT, 28, "192.0.2.1:56100" },
    { "2, IPv6", VIEW_INIT(SIGNATURE "\x21\x21\x00\x24" V6), PROXY_CLIENT, 52, "[2001:db8::1]:56100" },
    { "2, local", VIEW_INIT(SIGNATURE "\x20\x00\x00\x00"), PROXY_ITSELF, 16, NULL },
    { "2, local with an address", VIEW_INIT(SIGNATURE "\x20\x11\x00\x0c" V4), PROXY_ITSELF, 28, NULL },
    { "2, unspecified", VIEW_INIT(SIGNATURE "\x21\x00\x00\x02xx"), PROXY_ITSELF, 18, NULL },
    { "2, an extra", VIEW_INIT(SIGNATURE "\x21\x11\x00\x11" V4 "\x02\x00\x02" "hi"), PROXY_CLIENT, 33, "192.0.2.1:56100" },
    { "2, an extra too long", VIEW_INIT(SIGNATURE "\x21\x11\x00\x11" V4 "\x02\x00\x03" "hi"), PROXY_INVALID, 0, NULL },
    { "2, half an extra", VIEW_INIT(SIGNATURE "\x21\x11\x00\x0e" V4 "\x02\x00"), PROXY_INVALID, 0, NULL },
    { "2, a wrong checksum", VIEW_INIT(SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\x01\x02\x03\x04"), PROXY_INVALID, 0, NULL },
    { "2, short addresses", VIEW_INIT(SIGNATURE "\x21\x11\x00\x0b" V4), PROXY_INVALID, 0, NULL },
    { "2, other family", VIEW_INIT(SIGNATURE "\x21\x41\x00\x0c" V4), PROXY_INVALID, 0, NULL },
    { "2, version 3", VIEW_INIT(SIGNATURE "\x31\x11\x00\x0c" V4), PROXY_INVALID, 0, NULL },
    { "2, other command", VIEW_INIT(SIGNATURE "\x22\x11\x00\x0c" V4), PROXY_INVALID, 0, NULL },
    { "2, too long", VIEW_INIT(SIGNATURE "\x21\x11\x07\xf1" V4), PROXY_INVALID, 0, NULL },
};
/* clang-format on */

static void reads_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[NET_ADDRESS_TEXT_MAX];
        struct buf text = BUF_ON_ARRAY(room);
        struct proxy_header h;

        check(cases[i].name, proxy_read(cases[i].input, &h) == cases[i].wanted);
        if (cases[i].bytes > 0)
            check(cases[i].name, h.bytes == cases[i].bytes);
        if (cases[i].client == NULL)
            continue;
        check(cases[i].name, net_print_address_port(&h.client, &text));
        check_view(cases[i].name, buf_view(&text), view_of(cases[i].client));
    }
}

/* Whatever of a good header has come, the rest is waited for. */
static void waits_for_the_rest(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct proxy_header h;

        for (size_t len = 0; cases[i].bytes > 0 && len < cases[i].bytes; len++)
            check(cases[i].name, proxy_read(view_sub(cases[i].input, 0, len), &h) == PROXY_MORE);
    }
}

static void believes_a_right_checksum(void **state)
{
    char bytes[] = SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\0\0\0\0";
    struct view header = view_make(bytes, sizeof(bytes) - 1);
    uint32_t crc = crc32c(0, header);
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        bytes[header.len - 1 - i] = (char)(unsigned char)(crc >> (8 * i));
    assert_int_equal(proxy_read(header, &h), PROXY_CLIENT);
    bytes[16]++;
    assert_int_equal(proxy_read(header, &h), PROXY_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_headers),
        cmocka_unit_test(waits_for_the_rest),
        cmocka_unit_test(believes_a_right_checksum),
    };

    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
