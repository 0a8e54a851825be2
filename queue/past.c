#include "queue/past.h"

#include "common/crc32c.h"
#include "mail/fields.h"

#include <inttypes.h>

enum { ID_DIGITS = 16 };

static const char *const state_names[PAST_STATES] = {
    [PAST_DELIVERED] = "delivered",
    [PAST_BOUNCED] = "bounced",
    [PAST_FAILED] = "failed",
    [PAST_DELETED] = "deleted",
};

static const struct view outcome_mark = VIEW_INIT("\noutcome=\n");

const char *past_state_name(enum past_state s)
{
    return state_names[s];
}

static bool put_facts(const struct past *p, struct buf *out)
{
    return buf_printf(out, "id=%016" PRIx64 "\nstate=%s\n", p->id, state_names[p->state]) &&
           fields_put_u64(out, "at", p->at_ms) && fields_put_u64(out, "attempts", p->attempts) &&
           fields_put_u64(out, "size", p->body_bytes);
}

bool past_encode(const struct past *p, struct buf *out)
{
    size_t start = buf_len(out);
    bool fits = put_facts(p, out) && envelope_encode(&p->envelope, out) &&
                buf_put(out, VIEW("outcome=\n")) && buf_put(out, p->outcome);
    uint32_t crc = crc32c(0, view_from(buf_view(out), start));

    if (fits && buf_printf(out, "crc=%08" PRIx32 "\n\n", crc))
        return true;
    buf_truncate(out, start);
    return false;
}

static bool take_crc(struct view *bytes)
{
    size_t line = view_find_last(view_sub(*bytes, 0, bytes->len > 0 ? bytes->len - 1 : 0), '\n');
    struct view last = view_trim(view_from(*bytes, line + 1));
    uint64_t crc;

    if (line >= bytes->len || !view_take(&last, VIEW("crc=")) ||
        !view_hex_to_u64(view_take_until(&last, '\n'), &crc))
        return false;
    *bytes = view_sub(*bytes, 0, line + 1);
    return crc == crc32c(0, *bytes);
}

static bool take(struct view *rest, const char *name, struct arena *arena, struct view *value)
{
    struct view key;

    return fields_take(rest, arena, &key, value) == FIELDS_NEXT && view_equal(key, view_of(name));
}

static bool take_number(struct view *rest, const char *name, struct arena *arena, uint64_t *number)
{
    struct view value;

    return take(rest, name, arena, &value) && view_to_u64(value, UINT64_MAX, number);
}

static bool take_state(struct view *rest, struct arena *arena, enum past_state *state)
{
    struct view value;

    if (!take(rest, "state", arena, &value))
        return false;
    for (unsigned s = 0; s < PAST_STATES; s++) {
        if (view_equal(value, view_of(state_names[s]))) {
            *state = (enum past_state)s;
            return true;
        }
    }
    return false;
}

static bool take_facts(struct view *rest, struct arena *arena, struct past *p)
{
    struct view value;

    return take(rest, "id", arena, &value) && view_hex_to_u64(value, &p->id) &&
           take_state(rest, arena, &p->state) && take_number(rest, "at", arena, &p->at_ms) &&
           take_number(rest, "attempts", arena, &p->attempts) &&
           take_number(rest, "size", arena, &p->body_bytes);
}

bool past_decode(struct view bytes, struct arena *arena, struct past *p)
{
    size_t mark;

    while (bytes.len > 1 && bytes.ptr[bytes.len - 1] == '\n' && bytes.ptr[bytes.len - 2] == '\n')
        bytes.len--;
    if (!take_crc(&bytes) || !take_facts(&bytes, arena, p))
        return false;
    mark = view_find_view(bytes, outcome_mark);
    p->outcome = view_from(bytes, mark + outcome_mark.len);
    return mark < bytes.len && envelope_decode(view_sub(bytes, 0, mark + 1), arena, &p->envelope);
}

bool past_is_id(struct view word, uint64_t *id)
{
    return word.len == ID_DIGITS && view_hex_to_u64(word, id);
}

static bool names_message(struct view message_id, struct view word)
{
    struct view inner = view_sub(message_id, 1, message_id.len < 2 ? 0 : message_id.len - 2);

    return message_id.len > 0 &&
           (view_equal(message_id, word) || (inner.len > 0 && view_equal(inner, word)));
}

bool past_means(uint64_t id, const struct envelope *e, struct view word)
{
    uint64_t wanted;

    if (past_is_id(word, &wanted) && wanted == id)
        return true;
    if (names_message(e->message_id, word) || view_equal_nocase(e->sender, word))
        return true;
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (view_equal_nocase(e->rcpts[i].address, word))
            return true;
    }
    return false;
}
