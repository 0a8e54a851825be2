#include "mail/xtext.h"

#include "common/text.h"
#include "tests/fuzz/fuzz.h"

enum { ROOM = 1 << 16 };

/* What is read comes back the same when it is written and read again; nothing has a NUL. */
static void check_back(struct view bytes, bool (*encode)(struct view, struct buf *),
                       bool (*decode)(struct view, struct buf *))
{
    static char text_room[ROOM], back_room[ROOM];
    struct buf text = BUF_ON_ARRAY(text_room), back = BUF_ON_ARRAY(back_room);

    assert(!view_has(bytes, '\0'));
    if (!encode(bytes, &text))
        return; /* no room */
    assert(text_is_ascii(buf_view(&text)));
    assert(decode(buf_view(&text), &back) && view_equal(buf_view(&back), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static char room[ROOM];
    struct buf out = BUF_ON_ARRAY(room);
    struct view text = view_make(bytes, MIN(len, (size_t)ROOM));

    if (xtext_decode(text, &out))
        check_back(buf_view(&out), xtext_encode, xtext_decode);
    buf_clear(&out);
    if (xtext_decode_unicode(text, &out)) {
        assert(utf8_valid(buf_view(&out)));
        check_back(buf_view(&out), xtext_encode_unicode, xtext_decode_unicode);
    }
    return 0;
}
