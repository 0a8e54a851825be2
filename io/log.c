#include "io/log.h"

#include "common/buf.h"
#include "common/text.h"
#include "io/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 16384,
    VALUE_MAX_BYTES = 1024, /* before escaping; the rest of a longer value is cut off */
};

static struct {
    enum log_format format;
    enum log_level least;
    char fixed_room[128];
    struct buf fixed; /* what every line carries after the event, as it stands in the line */
    uint64_t lost;    /* lines that nobody read in time; the next one that leaves says so */
} logger = { .least = LOG_LEVEL_INFO };

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "error";
}

static bool is_json(void)
{
    return logger.format == LOG_FORMAT_JSON;
}

static bool put_key(struct buf *line, const char *key)
{
    if (is_json())
        return buf_printf(line, ",\"%s\":", key);
    return buf_printf(line, " %s=", key);
}

static bool quote(struct view bytes, struct buf *line)
{
    return is_json() ? json_quote(bytes, line) : log_quote(bytes, line);
}

/* Does not cut through a character of UTF-8. */
static struct view cut(struct view bytes, size_t most)
{
    if (bytes.len <= most)
        return bytes;
    while (most > 0 && ((unsigned char)bytes.ptr[most] & 0xc0) == 0x80)
        most--;
    return view_sub(bytes, 0, most);
}

static bool put_text(struct buf *line, struct view bytes)
{
    size_t before = buf_len(line);

    bytes = cut(bytes, VALUE_MAX_BYTES);
    while (!quote(bytes, line)) {
        buf_truncate(line, before);
        if (bytes.len == 0)
            return false;
        bytes = cut(bytes, bytes.len / 2);
    }
    return true;
}

static bool put_errno(struct buf *line, uint64_t number)
{
    const char *words = strerrordesc_np((int)number);

    if (words != NULL)
        return put_text(line, view_of(words));
    return buf_put_u64(line, number);
}

static bool put_id(struct buf *line, uint64_t number)
{
    const char *mark = is_json() ? "\"" : "";

    return buf_printf(line, "%s%016" PRIx64 "%s", mark, number, mark);
}

static bool put_value(struct buf *line, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_FIELD_VIEW:
        return put_text(line, f->view);
    case LOG_FIELD_U64:
        return buf_put_u64(line, f->number);
    case LOG_FIELD_ID:
        return put_id(line, f->number);
    case LOG_FIELD_ERRNO:
        return put_errno(line, f->number);
    }
    return false;
}

/* A field that does not fit is left out whole. */
static void put_field(struct buf *line, const struct log_field *f)
{
    size_t before = buf_len(line);

    if (f->key == NULL)
        return;
    if (!put_key(line, f->key) || !put_value(line, f))
        buf_truncate(line, before);
}

/* gmtime_r would want to open the time zone, which the sandbox forbids. The algorithm counts
 * years from March, so that a leap day is the last one of its year. */
static void put_time(struct buf *line, uint64_t wall_ms)
{
    uint64_t days = wall_ms / 86400000 + 719468; /* since 0000-03-01 */
    unsigned ms = (unsigned)(wall_ms % 86400000);
    uint64_t era = days / 146097;
    unsigned day = (unsigned)(days % 146097);
    unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    unsigned month;

    day -= 365 * year + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month = month < 10 ? month + 3 : month - 9;
    buf_printf(line, "%04" PRIu64 "-%02u-%02uT%02u:%02u:%02u.%03uZ",
               era * 400 + year + (month <= 2), month, day + 1, ms / 3600000, ms / 60000 % 60,
               ms / 1000 % 60, ms % 1000);
}

static void put_front(struct buf *line, enum log_level level, const char *event)
{
    buf_put(line, is_json() ? VIEW("{\"time\":\"") : VIEW("time="));
    put_time(line, clock_wall_ms());
    if (is_json())
        buf_put_byte(line, '"');
    put_field(line, &LOG_STRING("level", level_name(level)));
    put_field(line, &LOG_STRING("event", event));
    buf_put(line, buf_view(&logger.fixed));
    if (logger.lost > 0)
        put_field(line, &LOG_U64("lines_lost", logger.lost));
}

void log_open(const char *process, enum log_format format, enum log_level least)
{
    logger.format = format;
    logger.least = least;
    logger.fixed = BUF_ON_ARRAY(logger.fixed_room);
    put_field(&logger.fixed, &LOG_STRING("process", process));
    put_field(&logger.fixed, &LOG_U64("pid", (uint64_t)getpid()));
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    static char room[LINE_MAX_BYTES];
    struct buf line = buf_on(room, sizeof(room) - sizeof("}\n"));
    ssize_t written;

    if (level < logger.least)
        return;
    put_front(&line, level, event);
    for (size_t i = 0; i < count; i++)
        put_field(&line, &fields[i]);
    line.capacity = sizeof(room);
    buf_put(&line, is_json() ? VIEW("}\n") : VIEW("\n"));
    do {
        written = write(STDERR_FILENO, room, buf_len(&line));
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        logger.lost++;
    else
        logger.lost = 0;
}
