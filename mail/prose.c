#include "mail/prose.h"

#include "common/text.h"

#include <string.h>

enum {
    TEXT_WIDTH = 72, /* columns of what people read */
    LINE_MAX = 998,  /* bytes without CRLF; RFC 5322, 2.1.1 */
    QP_WIDTH = 75,   /* columns before a soft line break; RFC 2045, 6.7 */
    SHOWN_MAX = 4,   /* bytes of one character */
};

void prose_put(const struct prose *p, struct view own)
{
    if (!p->out->overflowed)
        buf_put(p->out, own);
}

void prose_text(const struct prose *p, const char *own)
{
    prose_put(p, view_of(own));
}

void prose_printf(const struct prose *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!p->out->overflowed)
        buf_vprintf(p->out, format, args);
    va_end(args);
}

/* The bytes of the character at the front, if it is one of UTF-8; else 0. */
static size_t character(struct view v)
{
    unsigned char first = (unsigned char)v.ptr[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

    /* C1 controls are no text either. */
    if (first < 0xc2 || len > v.len || (first == 0xc2 && (unsigned char)v.ptr[1] < 0xa0))
        return 0;
    return utf8_valid(view_sub(v, 0, len)) ? len : 0;
}

/* Takes what is shown together: a character, a blank for a TAB or CR, "\xNN" for what is none. */
static struct view take_shown(const struct prose *p, struct view *v, char shown[SHOWN_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char c = (unsigned char)v->ptr[0];
    size_t len = p->utf8 && c > 127 ? character(*v) : 0;

    if (len > 0) {
        memcpy(shown, v->ptr, len);
        *v = view_from(*v, len);
        return view_make(shown, len);
    }
    *v = view_from(*v, 1);
    shown[0] = c == '\t' || c == '\r' ? ' ' : (char)c;
    if (shown[0] >= 32 && shown[0] < 127)
        return view_make(shown, 1);
    memcpy(shown, "\\x", 2);
    shown[2] = digits[c >> 4];
    shown[3] = digits[c & 15];
    return view_make(shown, 4);
}

void prose_foreign(const struct prose *p, struct view foreign)
{
    char shown[SHOWN_MAX];

    while (foreign.len > 0)
        prose_put(p, take_shown(p, &foreign, shown));
}

/* How much of the line goes into the next TEXT_WIDTH columns: up to a blank where there is one. */
static size_t fitting(const struct prose *p, struct view line)
{
    struct view rest = line;
    size_t blank = 0, width = 0;
    char shown[SHOWN_MAX];

    while (rest.len > 0 && width < TEXT_WIDTH) {
        if (rest.ptr[0] == ' ')
            blank = line.len - rest.len;
        width += take_shown(p, &rest, shown).len;
    }
    return rest.len > 0 && blank > 0 ? blank : line.len - rest.len;
}

static void put_line(const struct prose *p, const char *indent, struct view line)
{
    while (line.len > 0) {
        size_t end = fitting(p, line);

        prose_text(p, indent);
        prose_foreign(p, view_sub(line, 0, end));
        prose_text(p, "\r\n");
        line = view_trim(view_from(line, end));
    }
}

void prose_wrapped(const struct prose *p, const char *indent, struct view foreign)
{
    while (foreign.len > 0) {
        struct view line = view_take_until(&foreign, '\n');

        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        put_line(p, indent, view_trim(line));
    }
}

static bool stays(struct view v)
{
    unsigned char c = (unsigned char)v.ptr[0];

    if (c == ' ' || c == '\t') /* not at the end of a line */
        return v.len > 1 && v.ptr[1] != '\r';
    return c > ' ' && c < 127 && c != '=';
}

void prose_quoted(const struct prose *p, struct view foreign)
{
    size_t width = 0;

    while (foreign.len > 0) {
        size_t needed = stays(foreign) ? 1 : 3;

        if (view_take(&foreign, VIEW("\r\n"))) {
            prose_text(p, "\r\n");
            width = 0;
            continue;
        }
        if (width + needed > QP_WIDTH) {
            prose_text(p, "=\r\n");
            width = 0;
        }
        if (needed == 1)
            prose_put(p, view_sub(foreign, 0, 1));
        else
            prose_printf(p, "=%02X", (unsigned char)foreign.ptr[0]);
        width += needed;
        foreign = view_from(foreign, 1);
    }
}

static bool line_is_plain(struct view line, bool high)
{
    if (line.len > LINE_MAX)
        return false;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];

        if (c == '\0' || c == '\r' || c == '\n' || c == 127 || (c > 127 && !high))
            return false;
    }
    return true;
}

bool prose_is_plain(struct view foreign, struct view boundary, bool high)
{
    if (view_find_view(foreign, boundary) < foreign.len)
        return false;
    while (foreign.len > 0) {
        size_t end = view_find_view(foreign, VIEW("\r\n"));

        if (end == foreign.len || !line_is_plain(view_sub(foreign, 0, end), high))
            return false;
        foreign = view_from(foreign, end + 2);
    }
    return true;
}
