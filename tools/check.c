/* tern config check: every mistake in the configuration. */
#include "tools/commands.h"

#include "ipc/rules.h"
#include "tools/check_files.h"

#include <stdio.h>
#include <stdlib.h>

static void print_count(const char *before, size_t count, const char *what, const char *more)
{
    printf("%s%zu %s%s", before, count, what, count == 1 ? "" : more);
}

static void print_sum(const char *path, const struct settings *s)
{
    printf("%s: ok: %.*s", path, VIEW_ARG(s->hostname));
    print_count(", ", s->listener_count, "listener", "s");
    print_count(", ", s->rules->count, "rule", "s");
    print_count(", ", s->domains.count, "domain", "s");
    print_count(", ", s->mailboxes.count + s->pattern_count, "mailbox", "es");
    print_count(", ", s->route_count, "route", "s");
    putchar('\n');
}

int command_config_check(const struct invocation *in)
{
    const char *path = in->argc > 1 ? in->argv[1] : in->path;
    struct config *c;
    struct settings s;
    struct view words;
    unsigned mistakes;

    if (in->argc > 2 || path[0] == '-')
        return wrong_use("one file is checked at a time");
    c = config_read(path);
    settings_load(&s, c);
    if (config_error_count(c) == 0)
        check_files(c, &s);
    if (config_error_count(c) == 0)
        check_system(c, &s);
    mistakes = config_error_count(c);
    words = config_errors(c);
    fprintf(stderr, "%.*s", VIEW_ARG(words));
    if (mistakes == 0)
        print_sum(path, &s);
    else
        fprintf(stderr, "%s: %u mistake%s\n", path, mistakes, mistakes == 1 ? "" : "s");
    settings_release(&s);
    config_free(&c);
    return mistakes == 0 ? EXIT_SUCCESS : EXIT_TROUBLE;
}
