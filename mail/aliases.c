#include "mail/aliases.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct view skip_blanks(struct view v)
{
    while (v.len > 0 && is_blank(v.ptr[0]))
        v = view_from(v, 1);
    return v;
}

static bool is_idle(struct view line)
{
    line = skip_blanks(line);
    return line.len == 0 || line.ptr[0] == '#';
}

/* The line with its LF. */
static size_t line_length(struct view text)
{
    return MIN(view_find(text, '\n') + 1, text.len);
}

static struct view peek_line(struct view text)
{
    return view_sub(text, 0, view_find(text, '\n'));
}

/* An entry's lines: the first, and those that go on; what is idle may stand between. */
static size_t entry_length(struct view text)
{
    size_t at = line_length(text), end = at;

    while (at < text.len) {
        struct view line = peek_line(view_from(text, at));
        bool idle = is_idle(line);

        if (!idle && !is_blank(line.ptr[0]))
            break;
        at += line_length(view_from(text, at));
        if (!idle)
            end = at;
    }
    return end;
}

/* Where a name or a target ends: at one of `ends` that is not quoted. */
static size_t find_end(struct view v, struct view ends)
{
    bool quoted = false;

    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '\n' || (!quoted && view_has(ends, v.ptr[i])))
            return i;
        if (v.ptr[i] == '"')
            quoted = !quoted;
        else if (v.ptr[i] == '\\' && quoted && i + 1 < v.len && v.ptr[i + 1] != '\n')
            i++;
    }
    return v.len;
}

static struct view trim(struct view v)
{
    v = skip_blanks(v);
    while (v.len > 0 && is_blank(v.ptr[v.len - 1]))
        v.len--;
    return v;
}

enum aliases_result aliases_take_entry(struct view *text, struct view *name, struct view *targets)
{
    struct view entry;
    size_t colon;

    while (text->len > 0 && is_idle(peek_line(*text)))
        *text = view_from(*text, line_length(*text));
    if (text->len == 0)
        return ALIASES_END;
    entry = view_sub(*text, 0, entry_length(*text));
    *text = view_from(*text, entry.len);
    colon = find_end(entry, VIEW(":"));
    *name = trim(view_sub(entry, 0, colon));
    *targets = view_from(entry, colon + 1);
    if (colon < entry.len && entry.ptr[colon] == ':' && name->len > 0)
        return ALIASES_NEXT;
    *targets = trim(peek_line(entry));
    return ALIASES_MALFORMED;
}

bool aliases_take_target(struct view *targets, struct view *target)
{
    while (targets->len > 0) {
        struct view line = peek_line(*targets);
        size_t end;

        if (skip_blanks(line).len > 0 && skip_blanks(line).ptr[0] == '#') {
            *targets = view_from(*targets, line_length(*targets));
            continue;
        }
        end = find_end(*targets, VIEW(","));
        *target = trim(view_sub(*targets, 0, end));
        *targets = view_from(*targets, end + 1);
        if (target->len > 0)
            return true;
    }
    return false;
}

bool aliases_take_include(struct view *target)
{
    struct view inner = *target;

    if (inner.len > 1 && inner.ptr[0] == '"' && inner.ptr[inner.len - 1] == '"')
        inner = view_sub(inner, 1, inner.len - 2);
    if (!view_take_nocase(&inner, VIEW(":include:")))
        return false;
    *target = inner;
    return true;
}

static bool begins_with(struct view target, char c)
{
    (void)view_take_byte(&target, '"');
    return target.len > 0 && target.ptr[0] == c;
}

bool aliases_is_program(struct view target)
{
    return begins_with(target, '|');
}

bool aliases_is_file(struct view target)
{
    return begins_with(target, '/');
}
