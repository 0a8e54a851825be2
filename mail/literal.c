#include "mail/literal.h"

/* The Kelvin sign and the long s are other cases of k and s (PCRE2, UTF-8). */
static const struct {
    struct view bytes;
    char letter;
} cases[] = { { VIEW_INIT("\xe2\x84\xaa"), 'k' }, { VIEW_INIT("\xc5\xbf"), 's' } };

bool literal_next(struct view *text, char *letter)
{
    while (text->len > 0 && (text->ptr[0] == '\r' || text->ptr[0] == '\n'))
        *text = view_from(*text, 1);
    if (text->len == 0)
        return false;
    for (size_t i = 0; (text->ptr[0] & 0x80) != 0 && i < COUNT_OF(cases); i++) {
        if (view_take(text, cases[i].bytes)) {
            *letter = cases[i].letter;
            return true;
        }
    }
    *letter = byte_lower(text->ptr[0]);
    *text = view_from(*text, 1);
    return true;
}

static bool goes_on(struct view text, const struct literal *l)
{
    char letter;

    for (size_t i = 1; i < l->len; i++) {
        if (!literal_next(&text, &letter) || letter != l->bytes[i])
            return false;
    }
    return true;
}

bool literal_is_in(const struct literal *l, struct view text)
{
    char letter;

    while (l->len > 0 && literal_next(&text, &letter)) {
        if (letter == l->bytes[0] && goes_on(text, l))
            return true;
    }
    return l->len == 0;
}

/* ---- the pattern's text ---- */

struct reader {
    struct view rest;
    unsigned depth; /* of groups: what is in one may be left out, or be one of several */
    struct literal run, longest;
};

static void end_run(struct reader *r)
{
    if (r->run.len > r->longest.len)
        r->longest = r->run;
    r->run.len = 0;
}

static void add(struct reader *r, char c)
{
    if (r->depth > 0)
        return;
    if (r->run.len == LITERAL_MAX)
        end_run(r);
    r->run.bytes[r->run.len++] = byte_lower(c);
}

static bool take(struct reader *r, char *c)
{
    if (r->rest.len == 0)
        return false;
    *c = r->rest.ptr[0];
    r->rest = view_from(r->rest, 1);
    return true;
}

/* Behind a backslash: what stands for itself, or for one of some characters, or for a place. */
static bool is_known_escape(char c)
{
    return !byte_is_alnum(c) || view_has(VIEW("dDsSwWhHvVbBAzZ"), c);
}

static bool take_escape(struct reader *r)
{
    char c;

    if (!take(r, &c) || !is_known_escape(c))
        return false;
    if (c > ' ' && c < 0x7f && !byte_is_alnum(c))
        add(r, c);
    else
        end_run(r);
    return true;
}

/* Up to its end; no [:name:]. A bracket that comes first is one of the characters. */
static bool skip_class(struct reader *r)
{
    char c;

    (void)view_take_byte(&r->rest, '^');
    (void)view_take_byte(&r->rest, ']');
    while (take(r, &c)) {
        if (c == ']')
            return true;
        if (c == '\\' && (!take(r, &c) || !is_known_escape(c)))
            return false;
        if (c == '[' && r->rest.len > 0 && view_has(VIEW(":.="), r->rest.ptr[0]))
            return false;
    }
    return false;
}

/* Groups that only keep together; no options, names, looks around, verbs. */
static bool open_group(struct reader *r)
{
    r->depth++;
    if (view_starts(r->rest, VIEW("*")))
        return false;
    return !view_take_byte(&r->rest, '?') || view_take_byte(&r->rest, ':');
}

static bool close_group(struct reader *r)
{
    if (r->depth == 0)
        return false;
    r->depth--;
    return true;
}

static bool take_atom(struct reader *r)
{
    char c;

    if (!take(r, &c))
        return false;
    if (c == '\\')
        return take_escape(r);
    if (byte_is_alnum(c) || view_has(VIEW(" !\"#%&',-/:;<=>@_`~"), c)) {
        add(r, c);
        return true;
    }
    end_run(r);
    switch (c) {
    case '[':
        return skip_class(r);
    case '(':
        return open_group(r);
    case ')':
        return close_group(r);
    case '|':
        return r->depth > 0;
    default:
        return view_has(VIEW(".^$"), c) || (c & 0x80) != 0;
    }
}

/* "{2,3}" */
static bool skip_counts(struct reader *r)
{
    struct view counts = view_take_until(&r->rest, '}');

    for (size_t i = 0; i < counts.len; i++) {
        if (!byte_is_digit(counts.ptr[i]) && counts.ptr[i] != ',')
            return false;
    }
    return counts.len > 0;
}

/* How often the last character has to be there: perhaps never, or more than once. */
static bool take_quantifier(struct reader *r)
{
    char c = r->rest.len > 0 ? r->rest.ptr[0] : '\0';

    if (c != '*' && c != '+' && c != '?' && c != '{')
        return true;
    r->rest = view_from(r->rest, 1);
    if (c != '+' && r->run.len > 0)
        r->run.len--;
    end_run(r);
    if (c == '{' && !skip_counts(r))
        return false;
    return view_take_byte(&r->rest, '?') || view_take_byte(&r->rest, '+') || true;
}

struct literal literal_of(struct view pattern)
{
    static const struct literal nothing;
    struct reader r = { .rest = pattern };

    while (r.rest.len > 0) {
        if (!take_atom(&r) || !take_quantifier(&r))
            return nothing;
    }
    end_run(&r);
    return r.longest;
}
