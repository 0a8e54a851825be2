#include "mail/params.h"

#include "tests/fuzz/fuzz.h"

/* A parameter is made of input in order, and read alone it is itself. */
static void check_param(const struct param *p)
{
    const char *end = p->keyword.ptr + p->keyword.len;
    struct view alone = p->keyword;
    struct param again;

    assert(p->keyword.len > 0 && p->has_value == (p->value.len > 0));
    if (p->has_value) {
        assert(*end == '=' && p->value.ptr == end + 1);
        alone.len += 1 + p->value.len;
    }
    assert(params_take(&alone, &again) == PARAMS_NEXT);
    assert(view_equal(p->keyword, again.keyword) && view_equal(p->value, again.value));
    assert(params_take(&alone, &again) == PARAMS_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view rest = view_make(bytes, len);
    enum params_result result;
    struct param p;

    while ((result = params_take(&rest, &p)) == PARAMS_NEXT)
        check_param(&p);
    assert(result == PARAMS_MALFORMED || rest.len == 0);
    return 0;
}
