#include "mail/address.h"

#include "tests/fuzz/fuzz.h"

static bool same(const struct address *a, const struct address *b)
{
    return view_equal(a->local, b->local) && view_equal(a->domain, b->domain) &&
           a->literal == b->literal && a->utf8 == b->utf8;
}

/* Printed and parsed, an address is itself; a key is an address, and its own key. */
static void check_address(const struct address *a, bool utf8)
{
    char print_room[ADDRESS_MAX], key_room[ADDRESS_MAX], again_room[ADDRESS_MAX];
    struct buf print = BUF_ON_ARRAY(print_room), key = BUF_ON_ARRAY(key_room);
    struct buf again = BUF_ON_ARRAY(again_room);
    struct address b;

    assert(a->local.len <= ADDRESS_LOCAL_MAX && a->domain.len <= ADDRESS_DOMAIN_MAX);
    assert(utf8 || !a->utf8);
    assert(address_print(a, &print) && address_key(a, &key));
    if (address_is_null(a)) {
        assert(buf_len(&print) == 0 && buf_len(&key) == 0);
        return;
    }
    assert(!view_has(buf_view(&print), '\n') && !view_has(buf_view(&print), '\0'));
    assert(address_parse(buf_view(&print), utf8, &b) && same(a, &b));
    assert(address_parse(buf_view(&key), utf8, &b) && address_key(&b, &again));
    assert(view_equal(buf_view(&key), buf_view(&again)));
}

static void check_domain(struct view domain, bool utf8)
{
    char room[ADDRESS_MAX];
    struct buf text = BUF_ON_ARRAY(room);
    struct address a;

    if (!domain_valid(domain, utf8))
        return;
    assert(buf_put(&text, VIEW("a@")) && buf_put(&text, domain));
    assert(address_parse(buf_view(&text), utf8, &a) && view_equal(a.domain, domain));
    assert(!a.literal);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    for (int utf8 = 0; utf8 <= 1; utf8++) {
        struct view input = view_make(bytes, len), rest = input;
        struct address a;

        if (address_take_path(&rest, utf8, &a)) {
            assert(rest.len < len && rest.ptr[-1] == '>');
            check_address(&a, utf8);
        } else {
            assert(rest.len == len);
        }
        if (address_parse(input, utf8, &a))
            check_address(&a, utf8);
        check_domain(input, utf8);
    }
    return 0;
}
