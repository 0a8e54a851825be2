#include "mail/completion.h"

#include "common/attrs.h"

enum { LINE, FIELD, FLUSH, BODY }; /* FLUSH: what was held is the first of the body */

enum kind { UNKNOWN, A_FIELD, CONTINUED, EMPTY, NONE };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* optional-field = field-name ":"; blanks before the colon are old syntax (RFC 5322, 4.5) */
static enum kind judge(const struct completion *c)
{
    char last = c->held[c->held_len - 1];
    bool printable = last > ' ' && last < 127;

    if (c->held[0] == '\r')
        return c->held_len == 1 ? UNKNOWN : last == '\n' ? EMPTY : NONE;
    if (c->held_len == 1 && is_blank(last))
        return c->any ? CONTINUED : NONE;
    if (last == ':')
        return c->held_len > 1 ? A_FIELD : NONE;
    if (c->held_len == COMPLETION_HELD_MAX)
        return NONE;
    if (is_blank(last) || (printable && !(c->held_len > 1 && is_blank(c->held[c->held_len - 2]))))
        return UNKNOWN;
    return NONE;
}

/* RFC 5322, 3.6 */
static bool has_addresses(struct view name)
{
    static const struct view names[] = { VIEW_INIT("From"),     VIEW_INIT("Sender"),
                                         VIEW_INIT("Reply-To"), VIEW_INIT("To"),
                                         VIEW_INIT("Cc"),       VIEW_INIT("Bcc") };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (view_equal_nocase(name, names[i]))
            return true;
    }
    return false;
}

static void note_name(struct completion *c)
{
    struct view name = view_trim(view_make(c->held, c->held_len - 1));

    c->addresses = has_addresses(name);
    c->any = true;
    c->date = c->date || view_equal_nocase(name, VIEW("Date"));
    c->message_id = c->message_id || view_equal_nocase(name, VIEW("Message-ID"));
}

static struct view take_held(struct completion *c)
{
    struct view held = view_make(c->held, c->held_len);

    c->held_len = 0;
    return held;
}

static enum completion_step end(struct completion *c, bool no_blank)
{
    c->ended = true;
    c->no_blank = no_blank;
    c->state = FLUSH;
    return COMPLETION_HERE;
}

static enum completion_step piece_of_field(const struct completion *c)
{
    return c->addresses ? COMPLETION_ADDRESSES : COMPLETION_PIECE;
}

static enum completion_step take_line(struct completion *c, struct view *input, struct view *piece)
{
    while (input->len > 0) {
        enum kind kind;

        c->held[c->held_len++] = input->ptr[0];
        *input = view_from(*input, 1);
        kind = judge(c);
        if (kind == UNKNOWN)
            continue;
        if (kind == EMPTY || kind == NONE)
            return end(c, kind == NONE);
        if (kind == A_FIELD)
            note_name(c);
        c->state = FIELD;
        *piece = take_held(c);
        return kind == CONTINUED ? piece_of_field(c) : COMPLETION_PIECE;
    }
    return COMPLETION_MORE;
}

enum completion_step completion_next(struct completion *c, struct view *input, struct view *piece)
{
    size_t len = input->len;
    bool in_field;

    if (c->state == FLUSH) {
        c->state = BODY;
        *piece = take_held(c);
        return COMPLETION_PIECE;
    }
    if (len == 0)
        return COMPLETION_MORE;
    if (c->state == LINE)
        return take_line(c, input, piece);
    in_field = c->state == FIELD;
    if (in_field && view_has(*input, '\n')) {
        len = view_find(*input, '\n') + 1;
        c->state = LINE;
    }
    *piece = view_sub(*input, 0, len);
    *input = view_from(*input, len);
    return in_field ? piece_of_field(c) : COMPLETION_PIECE;
}
