#include "mail/aliases.h"

#include "tests/fuzz/fuzz.h"

/* Views lie in the text, in order, and everything comes to an end. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view text = view_make(bytes, len), name, targets, target;
    enum aliases_result result;

    while ((result = aliases_take_entry(&text, &name, &targets)) != ALIASES_END) {
        assert(targets.len == 0 || targets.ptr + targets.len <= (const char *)bytes + len);
        if (result == ALIASES_MALFORMED)
            continue;
        assert(name.len > 0);
        while (aliases_take_target(&targets, &target)) {
            assert(target.len > 0 && !view_has(target, '\n'));
            assert(target.ptr >= name.ptr && target.ptr + target.len <= (const char *)bytes + len);
            if (aliases_take_include(&target))
                continue;
            assert(!aliases_is_program(target) || !aliases_is_file(target));
        }
    }
    return 0;
}
