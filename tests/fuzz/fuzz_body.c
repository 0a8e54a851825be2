#include "mail/body.h"

#include "common/buf.h"
#include "tests/fuzz/fuzz.h"

/* Receives `input` in parts; returns how much was used. */
static size_t receive(struct view input, size_t most, struct body_receiver *r, struct buf *content)
{
    struct fuzz_cuts cuts = fuzz_cut(input, most);
    struct view part, piece;
    size_t used = 0;

    *r = (struct body_receiver){ .bytes = 0 };
    while (!r->done && fuzz_next(&cuts, &part)) {
        size_t given = part.len;

        while (body_receive(r, &part, &piece))
            assert(piece.len > 0 && buf_put(content, piece));
        assert(r->done || part.len == 0);
        used += given - part.len;
    }
    assert(r->bytes == buf_len(content));
    return used;
}

static void check_cuts(struct view input, size_t most, const struct body_receiver *whole,
                       struct view wanted, size_t used)
{
    struct body_receiver r;
    struct buf content;

    buf_new(&content, input.len);
    assert(receive(input, most, &r, &content) == used);
    assert(view_equal(buf_view(&content), wanted));
    assert(r.done == whole->done && r.bare_cr == whole->bare_cr && r.bare_lf == whole->bare_lf);
    assert(r.eight_bit == whole->eight_bit && r.nul == whole->nul);
    buf_free(&content);
}

/* Whoever receives what was sent has the same content, and sees one end. */
static void check_send(struct view content, size_t most)
{
    struct fuzz_cuts cuts = fuzz_cut(content, most);
    struct body_sender s = { .middle = false };
    struct body_receiver r;
    struct view part, piece;
    struct buf wire, back;

    buf_new(&wire, 2 * content.len + 3);
    buf_new(&back, content.len);
    while (fuzz_next(&cuts, &part)) {
        while (body_send(&s, &part, &piece))
            assert(piece.len > 0 && buf_put(&wire, piece));
        assert(part.len == 0);
    }
    assert(buf_put(&wire, VIEW(".\r\n")));
    assert(receive(buf_view(&wire), most, &r, &back) == buf_len(&wire));
    assert(r.done && view_equal(buf_view(&back), content));
    buf_free(&wire);
    buf_free(&back);
}

static void check_header(struct view message)
{
    struct header_scan whole = { .ended = false }, parts = { .ended = false };
    struct fuzz_cuts cuts = fuzz_cut(message, 7);
    struct view header = body_header(message), part, value;

    header_scan_feed(&whole, message);
    while (fuzz_next(&cuts, &part))
        header_scan_feed(&parts, part);
    assert(whole.received == parts.received && whole.ended == parts.ended);
    assert(header.len <= message.len);
    if (header_find(header, VIEW("received"), &value))
        assert(value.ptr >= header.ptr && value.ptr + value.len <= header.ptr + header.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len), content;
    struct body_receiver r;
    struct buf out;
    size_t used;

    buf_new(&out, len);
    used = receive(input, len + 1, &r, &out);
    content = buf_view(&out);
    assert(!r.done || view_equal(view_sub(input, used - 3, 3), VIEW(".\r\n")));
    check_cuts(input, 1, &r, content, used);
    check_cuts(input, 100, &r, content, used);
    if (r.done && !r.bare_cr && !r.bare_lf) {
        check_send(content, 3);
        check_send(content, len);
    }
    check_header(input);
    buf_free(&out);
    return 0;
}
