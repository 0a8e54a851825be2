/* When a message is to be sent, and which first: parameters of MAIL. */
#include "mail/trace.h"
#include "smtpd/commands.h"
#include "smtpd/extensions.h"

enum { BY_DIGITS_MAX = 9 };

static struct step fine(const struct session *s)
{
    return step_accept(s->state, 0, NULL, NULL);
}

/* by-value = by-time ";" by-mode [ "T" ]; RFC 2852, 4 */
static bool read_by(struct view value, bool *negative, uint64_t *seconds, struct envelope *said)
{
    struct view number = view_take_until(&value, ';');
    bool plus = view_take_byte(&number, '+');

    *negative = !plus && view_take_byte(&number, '-');
    if (number.len > BY_DIGITS_MAX || !view_to_u64(number, UINT64_MAX, seconds))
        return false;
    said->by = view_take_nocase(&value, VIEW("R"))   ? BY_RETURN
               : view_take_nocase(&value, VIEW("N")) ? BY_NOTIFY
                                                     : BY_UNSAID;
    said->by_trace = view_take_nocase(&value, VIEW("T"));
    return said->by != BY_UNSAID && value.len == 0;
}

struct step take_by(struct session *s, struct view value)
{
    struct envelope *said = &s->transaction.said;
    bool negative;
    uint64_t seconds;

    if (!read_by(value, &negative, &seconds, said) ||
        (said->by == BY_RETURN && (negative || seconds == 0)))
        return step_refuse(s, 501, "5.5.4", "Bad BY value: seconds;N or seconds;R");
    said->deliver_by_ms =
        negative ? s->now_ms - MIN(s->now_ms, seconds * 1000) : s->now_ms + seconds * 1000;
    return fine(s);
}

/* RFC 4865, 4: one of HOLDFOR and HOLDUNTIL */
static struct step hold_until(struct session *s, uint64_t wall_ms)
{
    uint64_t *not_before_ms = &s->transaction.said.not_before_ms;

    if (*not_before_ms != 0)
        return step_refuse(s, 501, "5.5.4", "HOLDFOR and HOLDUNTIL exclude each other");
    if (wall_ms > s->now_ms + FUTURE_MOST_S * 1000ULL)
        return step_refuse(s, 501, "5.5.4", "That is too far in the future");
    *not_before_ms = MAX(wall_ms, 1);
    return fine(s);
}

/* future-release-interval = 1*9DIGIT, without a zero in front */
struct step take_holdfor(struct session *s, struct view value)
{
    uint64_t seconds;

    if (value.len > BY_DIGITS_MAX || value.len == 0 || value.ptr[0] == '0' ||
        !view_to_u64(value, UINT64_MAX, &seconds))
        return step_refuse(s, 501, "5.5.4", "Bad HOLDFOR value: seconds");
    return hold_until(s, s->now_ms + seconds * 1000);
}

/* future-release-date-time = an RFC 3339 date-time; erratum 2040 */
struct step take_holduntil(struct session *s, struct view value)
{
    uint64_t wall_ms;

    if (!trace_read_timestamp(value, &wall_ms))
        return step_refuse(s, 501, "5.5.4", "Bad HOLDUNTIL value: 2026-11-23T08:15:00Z");
    return hold_until(s, wall_ms);
}

/* priority-value = ( [ "-" ] NZDIGIT ) / "0"; RFC 6710, 4.1 */
struct step take_priority(struct session *s, struct view value)
{
    bool negative = view_take_byte(&value, '-');
    uint64_t number;

    if (value.len != 1 || !view_to_u64(value, PRIORITY_MOST, &number) || (negative && number == 0))
        return step_refuse(s, 501, "5.5.4", "Bad MT-PRIORITY value: -9 to 9");
    s->transaction.said.priority = negative ? -(int)number : (int)number;
    return fine(s);
}
