#include "mail/trace.h"

enum {
    /* Bytes; they keep the lines below 998 (RFC 5322, 2.1.1). */
    NAME_SHOWN_MAX = 255,
    FACT_SHOWN_MAX = 120,
};

struct date {
    uint64_t year;
    unsigned month, day; /* from 1 */
    unsigned weekday;    /* 0 is Sunday */
    unsigned hour, minute, second, ms;
};

/* The C library would look for the time zone's file, and no role may open one. Counts from
 * 0000-03-01, so that the leap day is the last of its year. */
static struct date date_of(uint64_t wall_ms)
{
    uint64_t days = wall_ms / 86400000 + 719468;
    uint64_t era = days / 146097;
    unsigned day_of_era = (unsigned)(days % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    unsigned ms = (unsigned)(wall_ms % 86400000);

    return (struct date){
        .year = era * 400 + year_of_era + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
        .weekday = (unsigned)((days + 3) % 7),
        .hour = ms / 3600000,
        .minute = ms / 60000 % 60,
        .second = ms / 1000 % 60,
        .ms = ms % 1000,
    };
}

bool trace_date(uint64_t wall_ms, struct buf *out)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct date d = date_of(wall_ms);

    return buf_printf(out, "%s, %02u %s %04llu %02u:%02u:%02u +0000", days[d.weekday], d.day,
                      months[d.month - 1], (unsigned long long)d.year, d.hour, d.minute, d.second);
}

bool trace_timestamp(uint64_t wall_ms, struct buf *out)
{
    struct date d = date_of(wall_ms);

    return buf_printf(out, "%04llu-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned long long)d.year,
                      d.month, d.day, d.hour, d.minute, d.second, d.ms);
}

static bool take_number(struct view *text, size_t digits, uint64_t least, uint64_t most,
                        uint64_t *out)
{
    struct view number = view_sub(*text, 0, digits);

    *text = view_from(*text, digits);
    return number.len == digits && view_to_u64(number, most, out) && *out >= least;
}

static uint64_t days_of_month(uint64_t year, uint64_t month)
{
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (month == 2)
        return leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* full-date = YYYY-MM-DD; the days since 1970 */
static bool take_date(struct view *text, uint64_t *days)
{
    uint64_t year, month, day;

    if (!take_number(text, 4, 1970, 9999, &year) || !view_take_byte(text, '-') ||
        !take_number(text, 2, 1, 12, &month) || !view_take_byte(text, '-') ||
        !take_number(text, 2, 1, days_of_month(year, month), &day))
        return false;
    *days = day - 1;
    while (--month > 0)
        *days += days_of_month(year, month);
    for (year--; year >= 1970; year--)
        *days += days_of_month(year, 2) + 337;
    return true;
}

/* partial-time = HH:MM:SS [ "." 1*DIGIT ]; a leap second is the one before it */
static bool take_time(struct view *text, uint64_t *ms)
{
    uint64_t hour, minute, second, unit = 100;

    if (!take_number(text, 2, 0, 23, &hour) || !view_take_byte(text, ':') ||
        !take_number(text, 2, 0, 59, &minute) || !view_take_byte(text, ':') ||
        !take_number(text, 2, 0, 60, &second))
        return false;
    *ms = ((hour * 60 + minute) * 60 + MIN(second, (uint64_t)59)) * 1000;
    if (!view_take_byte(text, '.'))
        return true;
    if (text->len == 0 || !byte_is_digit(text->ptr[0]))
        return false;
    for (; text->len > 0 && byte_is_digit(text->ptr[0]); unit /= 10) {
        *ms += (uint64_t)(text->ptr[0] - '0') * unit;
        *text = view_from(*text, 1);
    }
    return true;
}

/* time-offset = "Z" / ( "+" / "-" ) HH:MM */
static bool take_offset(struct view *text, int64_t *ms)
{
    bool east = view_take_byte(text, '+');
    uint64_t hour, minute;

    *ms = 0;
    if (!east && view_take_nocase(text, VIEW("Z")))
        return true;
    if ((!east && !view_take_byte(text, '-')) || !take_number(text, 2, 0, 23, &hour) ||
        !view_take_byte(text, ':') || !take_number(text, 2, 0, 59, &minute))
        return false;
    *ms = (int64_t)((hour * 60 + minute) * 60000) * (east ? 1 : -1);
    return true;
}

bool trace_read_timestamp(struct view text, uint64_t *wall_ms)
{
    uint64_t days, ms;
    int64_t offset;

    if (!take_date(&text, &days) || !view_take_nocase(&text, VIEW("T")) || !take_time(&text, &ms) ||
        !take_offset(&text, &offset) || text.len > 0)
        return false;
    *wall_ms = days * 86400000 + ms;
    if (offset > 0 && (uint64_t)offset > *wall_ms)
        return false;
    *wall_ms -= (uint64_t)offset;
    return true;
}

static bool is_clean(char c)
{
    return c > ' ' && c < 127 && c != '(' && c != ')' && c != '\\' && c != '<' && c != '>';
}

static size_t clean_run(struct view v)
{
    size_t len = 0;

    while (len < v.len && is_clean(v.ptr[len]))
        len++;
    return len;
}

static bool put_clean(struct view v, size_t most, struct buf *out)
{
    v = view_sub(v, 0, most);
    for (;;) {
        size_t len = clean_run(v);

        if (!buf_put(out, view_sub(v, 0, len)))
            return false;
        if (len == v.len)
            return true;
        if (!buf_put_byte(out, '?'))
            return false;
        v = view_from(v, len + 1);
    }
}

static bool put_client(const struct envelope *e, struct buf *out)
{
    return e->client.len == 0 ||
           (buf_put(out, VIEW(" (")) && put_clean(e->client_name, NAME_SHOWN_MAX, out) &&
            buf_put(out, e->client_name.len > 0 ? VIEW(" [") : VIEW("[")) &&
            (!view_has(e->client, ':') || buf_put(out, VIEW("IPv6:"))) &&
            put_clean(e->client, FACT_SHOWN_MAX, out) && buf_put(out, VIEW("])")));
}

/* From-domain with TCP-info; RFC 5321, 4.4. What the client calls itself stands in front of the
 * brackets only: within them a name would be one that was looked up. */
static bool put_from(const struct envelope *e, struct buf *out)
{
    struct view helo = e->helo.len > 0 ? e->helo : VIEW("unknown");

    if (e->client.len == 0 && e->helo.len == 0)
        return true;
    return buf_put(out, VIEW("from ")) && put_clean(helo, NAME_SHOWN_MAX, out) &&
           put_client(e, out) && buf_put(out, VIEW("\r\n\t"));
}

/* The spaces in "TLSv1.3 CIPHER 256" stay. */
static bool put_tls(struct view tls, struct buf *out)
{
    const char *before = " (";

    tls = view_sub(tls, 0, FACT_SHOWN_MAX);
    if (tls.len == 0)
        return true;
    while (tls.len > 0) {
        if (!buf_put(out, view_of(before)) || !put_clean(view_take_word(&tls), FACT_SHOWN_MAX, out))
            return false;
        before = " ";
    }
    return buf_put_byte(out, ')');
}

static bool put_by(const struct envelope *e, struct view hostname, struct buf *out)
{
    return buf_put(out, VIEW("by ")) && put_clean(hostname, NAME_SHOWN_MAX, out) &&
           buf_put(out, VIEW(" (Tern)")) &&
           (e->protocol.len == 0 ||
            (buf_put(out, VIEW(" with ")) && put_clean(e->protocol, FACT_SHOWN_MAX, out))) &&
           put_tls(e->tls, out) &&
           (e->session.len == 0 ||
            (buf_put(out, VIEW(" id ")) && put_clean(e->session, FACT_SHOWN_MAX, out)));
}

/* The sender knows another address: whom an alias stands for is nothing to tell (RFC 5321, 7.2). */
static bool is_of_another(const struct envelope_rcpt *r)
{
    struct view address = view_from(r->original, view_find(r->original, ';') + 1);

    return r->original.len > 0 && !view_equal_nocase(address, r->address);
}

static bool put_for(const struct envelope *e, struct buf *out)
{
    if (e->rcpt_count != 1 || is_of_another(&e->rcpts[0]) ||
        clean_run(e->rcpts[0].address) < e->rcpts[0].address.len)
        return true;
    return buf_put(out, VIEW("\r\n\tfor <")) && buf_put(out, e->rcpts[0].address) &&
           buf_put_byte(out, '>');
}

bool trace_received(const struct envelope *e, struct view hostname, struct buf *out)
{
    size_t mark = buf_len(out);

    if (buf_put(out, VIEW("Received: ")) && put_from(e, out) && put_by(e, hostname, out) &&
        put_for(e, out) && buf_put(out, VIEW("; ")) && trace_date(e->arrival_ms, out) &&
        buf_put(out, VIEW("\r\n")))
        return true;
    buf_truncate(out, mark);
    return false;
}
