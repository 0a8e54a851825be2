#include "delivery/ext.h"

/* size-value = [ 1*20DIGIT ]; RFC 1870, 3. A number beyond 64 bits limits nothing. */
static void read_size(struct view value, struct ext *out)
{
    out->size = true;
    if (!view_to_u64(view_trim(value), UINT64_MAX, &out->size_most))
        out->size_most = 0;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void read_line(struct view line, struct ext *out)
{
    struct view keyword = view_take_word(&line);

    if (view_equal_nocase(keyword, VIEW("PIPELINING")))
        out->pipelining = true;
    else if (view_equal_nocase(keyword, VIEW("8BITMIME")))
        out->eight_bit = true;
    else if (view_equal_nocase(keyword, VIEW("STARTTLS")))
        out->starttls = true;
    else if (view_equal_nocase(keyword, VIEW("SIZE")))
        read_size(line, out);
}

void ext_read(struct view text, struct ext *out)
{
    *out = (struct ext){ .pipelining = false };
    (void)view_take_until(&text, '\n');
    while (text.len > 0)
        read_line(view_take_until(&text, '\n'), out);
}
