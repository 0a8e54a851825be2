#include "mail/reply.h"

#include <string.h>

/* subject and detail = "0" / ( %x31-39 *2DIGIT ); RFC 3463, 2 */
static bool take_number(struct view *v, uint16_t *out)
{
    size_t len = 0;
    unsigned n = 0;

    while (len < v->len && byte_is_digit(v->ptr[len]) && len < 3)
        n = n * 10 + (unsigned)(v->ptr[len++] - '0');
    if (len == 0 || (len > 1 && v->ptr[0] == '0'))
        return false;
    *out = (uint16_t)n;
    *v = view_from(*v, len);
    return true;
}

bool enhanced_take(struct view *text, struct enhanced *out)
{
    struct view v = *text;
    struct enhanced e = { .class = 0 };

    if (v.len == 0 || (v.ptr[0] != '2' && v.ptr[0] != '4' && v.ptr[0] != '5'))
        return false;
    e.class = (uint8_t)(v.ptr[0] - '0');
    v = view_from(v, 1);
    if (!view_take_byte(&v, '.') || !take_number(&v, &e.subject) || !view_take_byte(&v, '.') ||
        !take_number(&v, &e.detail))
        return false;
    if (v.len > 0 && !view_take_byte(&v, ' '))
        return false;
    *text = v;
    *out = e;
    return true;
}

bool enhanced_print(struct enhanced e, struct buf *out)
{
    if (e.class == 0)
        return true;
    return buf_printf(out, "%u.%u.%u", e.class, e.subject, e.detail);
}

void reply_start(struct reply_parser *p)
{
    p->line_len = p->text_len = 0;
    p->lines = p->code = 0;
    p->enhanced = (struct enhanced){ .class = 0 };
}

/* Reply-code = %x32-35 2DIGIT; 0 if it is none. The first digit says all that must be known
 * (RFC 5321, 4.2.1), and hosts that refuse with 571 or 587 do exist. */
static unsigned take_code(struct view *line)
{
    const char *d = line->ptr;

    if (line->len < 3 || d[0] < '2' || d[0] > '5' || !byte_is_digit(d[1]) || !byte_is_digit(d[2]))
        return 0;
    *line = view_from(*line, 3);
    return (unsigned)(d[0] - '0') * 100 + (unsigned)(d[1] - '0') * 10 + (unsigned)(d[2] - '0');
}

/* What does not fit any more is dropped, the newline between lines included. */
static void keep_text(struct reply_parser *p, struct view text)
{
    if (p->lines > 1 && p->text_len < sizeof(p->text))
        p->text[p->text_len++] = '\n';
    text.len = MIN(text.len, sizeof(p->text) - p->text_len);
    if (text.len > 0)
        memcpy(p->text + p->text_len, text.ptr, text.len);
    p->text_len += text.len;
}

/* The first line decides on the enhanced code; the others repeat it (RFC 2034, 4). */
static void take_enhanced(struct reply_parser *p, struct view *text)
{
    struct view rest = *text;
    struct enhanced e;

    if (!enhanced_take(&rest, &e) || e.class != p->code / 100)
        return;
    if (p->lines == 1)
        p->enhanced = e;
    else if (e.class != p->enhanced.class || e.subject != p->enhanced.subject ||
             e.detail != p->enhanced.detail)
        return;
    *text = rest;
}

/* Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF */
static enum reply_status read_line(struct reply_parser *p, struct view line)
{
    unsigned code = take_code(&line);
    bool more = view_take_byte(&line, '-');

    if (code == 0 || (p->lines > 0 && code != p->code) || p->lines == REPLY_LINES_MAX)
        return REPLY_MALFORMED;
    if (!more && line.len > 0 && !view_take_byte(&line, ' '))
        return REPLY_MALFORMED;
    p->code = code;
    p->lines++;
    take_enhanced(p, &line);
    keep_text(p, line);
    return more ? REPLY_MORE : REPLY_READY;
}

/* The kept line without its end; false if it has a bare CR, or NUL. A bare LF ends it too: nothing
 * that Tern says in a command has one that could come back in the reply. */
static bool end_line(struct reply_parser *p, struct view *line)
{
    *line = view_make(p->line, p->line_len - 1);
    p->line_len = 0;
    if (line->len > 0 && line->ptr[line->len - 1] == '\r')
        line->len--;
    return !view_has(*line, '\r') && !view_has(*line, '\0');
}

/* False when the line gets too long. */
static bool keep_line(struct reply_parser *p, struct view *input, bool *whole)
{
    size_t lf = view_find(*input, '\n');
    size_t len = lf < input->len ? lf + 1 : lf;

    if (len > sizeof(p->line) - p->line_len)
        return false;
    memcpy(p->line + p->line_len, input->ptr, len);
    p->line_len += len;
    *whole = lf < input->len;
    *input = view_from(*input, len);
    return true;
}

enum reply_status reply_feed(struct reply_parser *p, struct view *input, struct reply *out)
{
    while (input->len > 0) {
        enum reply_status status;
        struct view line;
        bool whole;

        if (!keep_line(p, input, &whole))
            return REPLY_MALFORMED;
        if (!whole)
            return REPLY_MORE;
        if (!end_line(p, &line))
            return REPLY_MALFORMED;
        status = read_line(p, line);
        if (status == REPLY_READY) {
            *out = (struct reply){ p->code, p->enhanced, view_make(p->text, p->text_len) };
            reply_start(p); /* leaves the text where it is */
        }
        if (status != REPLY_MORE)
            return status;
    }
    return REPLY_MORE;
}

/* Texts may quote the client: a control byte must not end the line or hide in it. */
static bool put_line(unsigned code, char mark, const char *enhanced, struct view line,
                     struct buf *out)
{
    /* The blank stands before an empty text too (RFC 5321, 4.2; RFC 4954, 4 relies on it). */
    if (!buf_put_u64(out, code) || !buf_put_byte(out, mark))
        return false;
    if (enhanced != NULL &&
        (!buf_put(out, view_of(enhanced)) || (line.len > 0 && !buf_put_byte(out, ' '))))
        return false;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];

        if (!buf_put_byte(out, c < 32 || c == 127 ? '?' : line.ptr[i]))
            return false;
    }
    return buf_put(out, VIEW("\r\n"));
}

bool reply_print(unsigned code, const char *enhanced, struct view text, struct buf *out)
{
    size_t mark = buf_len(out);
    bool more;

    do {
        more = view_has(text, '\n');
        if (!put_line(code, more ? '-' : ' ', enhanced, view_take_until(&text, '\n'), out)) {
            buf_truncate(out, mark);
            return false;
        }
    } while (more);
    return true;
}
