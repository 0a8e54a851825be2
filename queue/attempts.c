#include "queue/attempts.h"

#include "mail/fields.h"

static const struct view past = VIEW_INIT("past=");

/* A text's own fields stand before the past ones. */
static struct view own_fields(struct view text)
{
    struct view rest = text, line;

    while (rest.len > 0) {
        struct view before = rest;

        if (!view_take_line(&rest, &line) || view_starts(line, past))
            return view_sub(text, 0, text.len - before.len);
    }
    return text;
}

/* One line for the attempt that `text` is the record of. */
static bool put_past(struct view text, uint64_t at_ms, struct buf *out)
{
    char room[ATTEMPTS_BYTES_MAX];
    struct buf value = BUF_ON_ARRAY(room);

    return fields_put_u64(&value, "at", at_ms) && buf_put(&value, text) &&
           fields_put(out, "past", buf_view(&value));
}

void attempts_put(struct view outcome, uint64_t duration_ms, struct view before, uint64_t before_ms,
                  struct buf *out)
{
    struct view own = own_fields(before);
    struct view rest = view_from(before, own.len);
    unsigned kept = 1;

    buf_put(out, outcome);
    (void)fields_put_u64(out, "duration", duration_ms);
    if (own.len == 0 || !put_past(own, before_ms, out))
        return;
    while (rest.len > 0 && kept++ < ATTEMPTS_KEPT) {
        size_t len = view_find(rest, '\n') + 1;

        if (!buf_put(out, view_sub(rest, 0, len)))
            return;
        rest = view_from(rest, len);
    }
}

static bool read_attempt(struct view text, struct arena *arena, struct attempt *a)
{
    struct view rest = text, key, value;

    *a = (struct attempt){ .at_ms = 0 };
    while (fields_take(&rest, arena, &key, &value) == FIELDS_NEXT) {
        uint64_t *number = view_equal(key, VIEW("at"))         ? &a->at_ms
                           : view_equal(key, VIEW("duration")) ? &a->duration_ms
                                                               : NULL;

        if (number != NULL && !view_to_u64(value, UINT64_MAX, number))
            return false;
    }
    return outcome_decode(text, arena, &a->outcome);
}

bool attempts_take(struct view *text, struct arena *arena, struct attempt *a)
{
    struct view own = own_fields(*text), key, value;

    if (own.len > 0) {
        *text = view_from(*text, own.len);
        return read_attempt(own, arena, a);
    }
    return fields_take(text, arena, &key, &value) == FIELDS_NEXT && read_attempt(value, arena, a);
}
