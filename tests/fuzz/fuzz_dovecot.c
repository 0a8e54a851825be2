/* What Dovecot's auth socket says: the same events however it arrives, and views that are inside.
 */
#include "auth/dovecot.h"
#include "common/memory.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16 };

struct story {
    struct buf text;
    char room[ROOM];
};

static void tell(struct story *s, const struct dovecot *d, enum dovecot_event event)
{
    buf_printf(&s->text, "%d %u ", (int)event, event >= DOVECOT_CHALLENGE ? d->id : 0);
    if (event == DOVECOT_CHALLENGE)
        buf_put(&s->text, d->bytes);
    if (event == DOVECOT_OK || event == DOVECOT_FAIL)
        buf_put(&s->text, d->user);
    if (event == DOVECOT_OK)
        assert(d->user.len > 0 && utf8_valid(d->user) && !view_has(d->user, '\0'));
    if (event == DOVECOT_FAIL || event == DOVECOT_BROKEN)
        assert(d->why != NULL);
    if (event == DOVECOT_READY)
        assert(d->mechanisms_len > 0 && d->mechanisms_len < sizeof(d->mechanisms));
}

static void read_all(struct story *s, struct view said, size_t most)
{
    static struct dovecot d;
    struct fuzz_cuts cuts = fuzz_cut(said, most);
    struct view part;

    d = (struct dovecot){ 0 };
    s->text = BUF_ON_ARRAY(s->room);
    while (fuzz_next(&cuts, &part)) {
        while (part.len > 0) {
            enum dovecot_event event = dovecot_hear(&d, &part);

            if (event != DOVECOT_NOTHING)
                tell(s, &d, event);
            if (event == DOVECOT_BROKEN)
                return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct story whole, parts;
    char *copy = memory_copy(view_make(bytes, len));
    struct view said = view_make(copy, len);

    read_all(&whole, said, len + 1);
    read_all(&parts, said, 5);
    assert(view_equal(buf_view(&whole.text), buf_view(&parts.text)));
    free(copy);
    return 0;
}
