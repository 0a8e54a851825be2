#include "mail/reply.h"

#include "tests/fuzz/fuzz.h"

enum { NOTED_MAX = 1 << 16, REPRINT_MAX = 1000 /* bytes of text */ };

/* What was heard, in words. What does not fit is left out in every run alike. */
static void note(const struct reply *r, struct buf *noted)
{
    assert(r->code >= 200 && r->code <= 559);
    assert(r->enhanced.class == 0 || r->enhanced.class == r->code / 100);
    assert(r->text.len <= REPLY_TEXT_MAX);
    (void)(buf_put_u64(noted, r->code) && buf_put_byte(noted, ' ') &&
           enhanced_print(r->enhanced, noted) && buf_put_byte(noted, '|') &&
           buf_put(noted, r->text) && buf_put_byte(noted, '|'));
}

static bool printable(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < 32 && c != '\n') || c == 127)
            return false;
    }
    return text.len <= REPRINT_MAX;
}

/* Printed and read again, a reply is itself. */
static void check_print(const struct reply *r)
{
    static struct reply_parser p;
    char code_room[16], room[REPRINT_MAX * 16];
    struct buf code = BUF_ON_ARRAY(code_room), out = BUF_ON_ARRAY(room);
    struct view rest;
    struct reply again;

    if (!printable(r->text))
        return;
    assert(enhanced_print(r->enhanced, &code) && buf_put_byte(&code, '\0'));
    assert(reply_print(r->code, r->enhanced.class == 0 ? NULL : code.room, r->text, &out));
    rest = buf_view(&out);
    reply_start(&p);
    assert(reply_feed(&p, &rest, &again) == REPLY_READY && rest.len == 0);
    assert(again.code == r->code && view_equal(again.text, r->text));
    assert(again.enhanced.class == r->enhanced.class);
}

static enum reply_status hear(struct view input, size_t most, struct buf *noted)
{
    struct fuzz_cuts cuts = fuzz_cut(input, most);
    enum reply_status status = REPLY_MORE;
    static struct reply_parser p;
    struct reply r;
    struct view part;

    reply_start(&p);
    while (status != REPLY_MALFORMED && fuzz_next(&cuts, &part)) {
        do {
            status = reply_feed(&p, &part, &r);
            if (status == REPLY_READY) {
                note(&r, noted);
                check_print(&r);
            }
        } while (status == REPLY_READY);
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static char whole_room[NOTED_MAX], cut_room[NOTED_MAX];
    struct buf whole = BUF_ON_ARRAY(whole_room), cut = BUF_ON_ARRAY(cut_room);
    struct view input = view_make(bytes, len);
    enum reply_status status = hear(input, len + 1, &whole);

    assert(hear(input, 1, &cut) == status);
    assert(view_equal(buf_view(&whole), buf_view(&cut)));
    buf_clear(&cut);
    assert(hear(input, 64, &cut) == status);
    assert(view_equal(buf_view(&whole), buf_view(&cut)));
    return 0;
}
