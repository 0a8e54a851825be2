/* Events, one line each on descriptor 2: key=value with escaping, or JSON.
 *
 *   log_info("message_accepted", LOG_ID("message", id), LOG_U64("size_bytes", n));
 *
 * Event names are stable and in past tense; keys carry units (_ms, _bytes, _s). Everything
 * foreign is escaped here and nowhere else. A line is one write(2); when that fails the line is
 * lost, and the next one counts it (lines_lost). Long values are cut. Only a process's first
 * thread may log. */
#ifndef IO_LOG_H
#define IO_LOG_H

#include "common/attrs.h"
#include "common/view.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key; /* NULL: this field is left out */
    enum { LOG_FIELD_VIEW, LOG_FIELD_U64, LOG_FIELD_ID, LOG_FIELD_ERRNO } kind;
    struct view view;
    uint64_t number;
};

#define LOG_VIEW(k, v)   ((struct log_field){ (k), LOG_FIELD_VIEW, (v), 0 })
#define LOG_STRING(k, s) ((struct log_field){ (k), LOG_FIELD_VIEW, view_of(s), 0 })
#define LOG_U64(k, n)    ((struct log_field){ (k), LOG_FIELD_U64, VIEW_EMPTY, (n) })
/* Sixteen hexadecimal digits. */
#define LOG_ID(k, n) ((struct log_field){ (k), LOG_FIELD_ID, VIEW_EMPTY, (n) })
/* Words for a positive errno. */
#define LOG_ERRNO(k, e) ((struct log_field){ (k), LOG_FIELD_ERRNO, VIEW_EMPTY, (uint64_t)(e) })

/* Fixed fields that every line of this process carries: process="smtpd" pid=... */
void log_open(const char *process, enum log_format format, enum log_level least);

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);

#define LOG_AT(level, event, ...)                                                                  \
    log_event((level), (event), (const struct log_field[]){ __VA_ARGS__ },                         \
              COUNT_OF(((const struct log_field[]){ __VA_ARGS__ })))
#define log_debug(event, ...) LOG_AT(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
