#include "mail/qualify.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
    return !is_blank(c) && !view_has(VIEW("()<>[]:;@\\,\""), c);
}

/* One byte within a comment, a quoted string or a domain literal. False: it is in none. */
static bool take_enclosed(struct qualify *q, char c)
{
    if (q->depth == 0 && !q->quoted && !q->literal)
        return false;
    if (q->escaped || c == '\\')
        q->escaped = !q->escaped;
    else if (q->depth > 0)
        q->depth += c == '(' ? 1U : c == ')' ? -1U : 0U;
    else if (c == (q->quoted ? '"' : ']'))
        q->quoted = q->literal = false;
    return true;
}

static void begin_mailbox(struct qualify *q)
{
    q->words = 0;
    q->other = false;
}

/* What has a meaning outside of words. */
static void take_special(struct qualify *q, char c)
{
    bool list = c == ',' || c == ';' || c == ':';

    if (c == '(')
        q->depth = 1;
    else if (c == '<')
        begin_mailbox(q); /* what stood before was a name */
    else if (list && !q->angle)
        begin_mailbox(q); /* likewise that of a group */
    else if (!is_blank(c))
        q->other = true;
    q->quoted = c == '"';
    q->literal = c == '[';
    if (c == '<' || c == '>')
        q->angle = c == '<';
}

/* True: a word has ended that may be an address, and the byte comes behind it. */
static bool take_byte(struct qualify *q, char c)
{
    if (take_enclosed(q, c))
        return false;
    if (is_word(c)) {
        q->words += !q->in_word;
        q->in_word = true;
        return false;
    }
    if (q->in_word) {
        q->in_word = false;
        if (q->words == 1 && !q->other)
            return true;
    }
    take_special(q, c);
    return false;
}

static bool ends_mailbox(const struct qualify *q, char c)
{
    return q->angle ? c == '>' : c == ',' || c == ';';
}

/* What was held goes on, behind the domain or without one. */
static enum qualify_step stop_holding(struct qualify *q, bool here, struct view *piece)
{
    q->holding = false;
    if (here) {
        q->flush = q->held_len > 0;
        return QUALIFY_HERE;
    }
    *piece = view_make(q->held, q->held_len);
    q->held_len = 0;
    return QUALIFY_PIECE;
}

static enum qualify_step hold(struct qualify *q, struct view *input, struct view *piece)
{
    while (input->len > 0) {
        char c = input->ptr[0];

        if (q->depth == 0 && !is_blank(c) && c != '(')
            return stop_holding(q, ends_mailbox(q, c), piece);
        if (q->held_len == QUALIFY_HELD_MAX) {
            q->other = true;
            return stop_holding(q, false, piece);
        }
        if (!take_enclosed(q, c) && c == '(')
            q->depth = 1;
        q->held[q->held_len++] = c;
        *input = view_from(*input, 1);
    }
    return QUALIFY_MORE;
}

static enum qualify_step end(struct qualify *q, struct view *piece)
{
    if (q->in_word && q->words == 1 && !q->other)
        q->holding = true;
    q->in_word = false;
    if (q->holding)
        return stop_holding(q, !q->angle && q->depth == 0, piece);
    *q = (struct qualify){ .depth = 0 };
    return QUALIFY_MORE;
}

enum qualify_step qualify_next(struct qualify *q, struct view *input, bool last, struct view *piece)
{
    size_t len = 0;

    if (q->flush) {
        q->flush = false;
        return stop_holding(q, false, piece);
    }
    if (input->len == 0)
        return last ? end(q, piece) : QUALIFY_MORE;
    if (q->holding)
        return hold(q, input, piece);
    while (len < input->len && !q->holding) {
        q->holding = take_byte(q, input->ptr[len]);
        len += !q->holding;
    }
    *piece = view_sub(*input, 0, len);
    *input = view_from(*input, len);
    return QUALIFY_PIECE;
}
