#include "mail/from.h"

enum { AT_START, AT_EMPTY_LINE, AT_NAME, AT_FIELD, AT_REST };

static const struct view field_name = VIEW_INIT("from");

static void keep_byte(struct from_scan *f, struct arena *arena, char c)
{
    if (c == '\r' || c == '\n')
        return;
    if (f->text == NULL)
        f->text = arena_alloc(arena, FROM_TEXT_MAX);
    if (f->text == NULL)
        f->no_room = true;
    else if (f->len == FROM_TEXT_MAX)
        f->cut = true;
    else
        f->text[f->len++] = c;
}

/* The name, blanks that older programs put behind it (RFC 5322, 4.5), and the colon. */
static void scan_name(struct from_scan *f, char c)
{
    bool whole = f->matched == field_name.len;

    if (!whole && byte_lower(c) == field_name.ptr[f->matched]) {
        f->matched++;
    } else if (whole && c == ':') {
        f->count++;
        f->state = AT_FIELD;
    } else if (!whole || (c != ' ' && c != '\t')) {
        f->state = AT_REST;
    }
}

static void scan_byte(struct from_scan *f, struct arena *arena, char c)
{
    bool folded = c == ' ' || c == '\t';

    if (f->state == AT_EMPTY_LINE) {
        f->ended = c == '\n';
        f->state = AT_REST;
    } else if (f->state == AT_START && c == '\r') {
        f->state = AT_EMPTY_LINE;
        return;
    } else if (f->state == AT_START && !(folded && f->matched == field_name.len + 1)) {
        f->matched = 0;
        f->state = AT_NAME;
    } else if (f->state == AT_START) {
        f->state = AT_FIELD; /* a continuation of it */
    }
    if (f->state == AT_NAME)
        scan_name(f, c);
    else if (f->state == AT_FIELD)
        keep_byte(f, arena, c);
    if (c == '\n') { /* remembers whether the field may go on */
        f->matched = f->state == AT_FIELD ? (unsigned)field_name.len + 1 : 0;
        f->state = AT_START;
    }
}

void from_scan_feed(struct from_scan *f, struct arena *arena, struct view piece)
{
    for (size_t i = 0; i < piece.len && !f->ended; i++)
        scan_byte(f, arena, piece.ptr[i]);
}

/* ---- mailboxes ---- */

/* Behind the closing `end` of what begins at the front; a backslash takes the next byte along.
 * Comments nest. 0: there is no end. */
static size_t enclosed_length(struct view text, char begin, char end)
{
    unsigned depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (i > 0 && text.ptr[i] == end && --depth == 0)
            return i + 1;
        else if (text.ptr[i] == begin)
            depth = begin == end ? 1 : depth + 1;
    }
    return 0;
}

/* The length of one thing at the front: a quoted string, a comment, a domain literal, or a byte. */
static size_t token_length(struct view text)
{
    switch (text.ptr[0]) {
    case '"':
        return enclosed_length(text, '"', '"');
    case '(':
        return enclosed_length(text, '(', ')');
    case '[':
        return enclosed_length(text, '[', ']');
    default:
        return 1;
    }
}

struct mailbox {
    bool in_angle, had_angle; /* "<" was there */
    bool any;                 /* something was */
};

static bool put_token(struct mailbox *m, struct view token, struct buf *room)
{
    char c = token.ptr[0];

    if (c == '(' || c == ' ' || c == '\t')
        return true;
    m->any = true;
    if (c == '<') {
        bool first = !m->had_angle;

        m->in_angle = m->had_angle = true;
        buf_clear(room); /* what stood before was a name */
        return first;
    }
    if (c == '>') {
        m->in_angle = false;
        return m->had_angle;
    }
    if (m->had_angle && !m->in_angle)
        return false; /* something behind it */
    /* A name may be longer than any address: what counts is in the brackets. */
    (void)buf_put(room, token);
    return true;
}

/* The next mailbox, or what stands between separators; false: it makes no sense. */
static bool take_mailbox(struct view *rest, struct buf *room, struct mailbox *m)
{
    *m = (struct mailbox){ 0 };
    buf_clear(room);
    while (rest->len > 0) {
        size_t len = token_length(*rest);
        struct view token = view_sub(*rest, 0, len);

        if (len == 0)
            return false;
        *rest = view_from(*rest, len);
        if (!m->in_angle && (token.ptr[0] == ',' || token.ptr[0] == ';'))
            return true;
        if (!m->in_angle && token.ptr[0] == ':') { /* the name of a group */
            *m = (struct mailbox){ 0 };
            buf_clear(room);
        } else if (!put_token(m, token, room)) {
            return false;
        }
    }
    return !m->in_angle;
}

enum from_result from_take(struct view *rest, struct buf *room, struct address *out)
{
    struct mailbox m;

    while (rest->len > 0) {
        if (!take_mailbox(rest, room, &m))
            return FROM_MALFORMED;
        if (!m.any) /* ", ," is allowed to have been written (RFC 5322, 4.4) */
            continue;
        if (room->overflowed || !address_parse(buf_view(room), true, out) || out->domain.len == 0)
            return FROM_MALFORMED;
        return FROM_ADDRESS;
    }
    return FROM_END;
}
