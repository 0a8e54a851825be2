/* The user file: what is read can be written, and is the same when read again. */
#include "common/memory.h"
#include "io/userfile.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = memory_copy(view_make(bytes, len)), secret[USERFILE_SECRET_BYTES];
    struct view rest = view_make(copy, len), login;
    struct scram_keys keys;

    (void)!userfile_take_head(&rest, secret);
    while (userfile_take_user(&rest, &login, &keys) == USERFILE_USER) {
        char room[USERFILE_LOGIN_MAX + 2 * SCRAM_TEXT_MAX];
        struct buf out = BUF_ON_ARRAY(room);
        struct view again, same;
        struct scram_keys back;

        assert(userfile_put_user(login, &keys, &out));
        again = buf_view(&out);
        assert(userfile_take_user(&again, &same, &back) == USERFILE_USER);
        assert(view_equal(login, same) && memcmp(&keys, &back, sizeof(keys)) == 0);
    }
    free(copy);
    return 0;
}
