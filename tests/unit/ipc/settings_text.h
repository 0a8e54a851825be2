/* Settings from the text of one file, t.yaml. */
#ifndef TESTS_UNIT_IPC_SETTINGS_TEXT_H
#define TESTS_UNIT_IPC_SETTINGS_TEXT_H

#include "ipc/settings.h"
#include "tests/unit/config_text.h"
#include "tests/unit/unit.h"

static char settings_room[1 << 22];

static inline UNUSED struct config *parse_text(const char *text)
{
    const char *const files[] = { "t.yaml", text, NULL };

    return config_from(settings_room, sizeof(settings_room), files);
}

static inline UNUSED struct config *read_text(const char *text, struct settings *s)
{
    struct config *c = parse_text(text);

    settings_gather(c);
    settings_read(s, c);
    return c;
}

/* With a look at what can be seen when all of it is known. */
static inline UNUSED struct config *load_text(const char *text, struct settings *s)
{
    struct config *c = parse_text(text);

    settings_load(s, c);
    return c;
}

static inline UNUSED void release(struct settings *s, struct config *c)
{
    settings_release(s);
    config_free(&c);
}

/* One mistake, of whose report this is the first line. */
static inline UNUSED void check_mistake(const char *name, const char *text, const char *wanted)
{
    struct settings s;
    struct config *c = load_text(text, &s);
    struct view errors = config_errors(c), line = VIEW_EMPTY;

    (void)view_take_line(&errors, &line);
    check_view(name, line, view_of(wanted));
    if (config_error_count(c) != 1)
        fail_msg("%s: reports more: %.*s", name, VIEW_ARG(config_errors(c)));
    release(&s, c);
}

#endif
