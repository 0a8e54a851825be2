/* A header that is taken is taken whole, and waited for as long as any of it is missing. */
#include "smtpd/proxy.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len);
    struct proxy_header h, cut;
    enum proxy_result result = proxy_read(input, &h);

    if (result == PROXY_MORE)
        assert(len < PROXY_HEADER_MAX);
    if (result != PROXY_CLIENT && result != PROXY_ITSELF)
        return 0;
    assert(h.bytes > 0 && h.bytes <= len && h.bytes <= PROXY_HEADER_MAX);
    assert(proxy_read(view_sub(input, 0, h.bytes), &cut) == result && cut.bytes == h.bytes);
    if (result == PROXY_CLIENT)
        assert(h.client.family != 0 && net_equal(&h.client, &cut.client));
    for (size_t i = 0; i < h.bytes; i++)
        assert(proxy_read(view_sub(input, 0, i), &cut) == PROXY_MORE);
    return 0;
}
