#include "tokens/token.h"

#include "ipc/messages.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char room[TOKEN_MAX];
    struct buf token = BUF_ON_ARRAY(room);
    uint64_t lifetime_s;
    bool good = token_read(view_make(bytes, len), &token, &lifetime_s);

    assert(good == (buf_len(&token) > 0));
    assert(good || lifetime_s == 0);
    for (size_t i = 0; i < buf_len(&token); i++)
        assert(room[i] > ' ' && room[i] < 0x7f);
    return 0;
}
