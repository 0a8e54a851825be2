/* tern spool check: the queue's program does it (queue/check.h), with the rights of the spool's
 * owner. */
#include "common/memory.h"
#include "tools/commands.h"
#include "tools/control.h"

#include <string.h>

int command_spool(const struct settings *s, int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    char text[] = "--check", objects[] = "--check-json";
    char *words[] = { NULL, json ? objects : text, NULL, NULL };

    if (strcmp(argv[0], "check") != 0 || argc > (json ? 2 : 1))
        return trouble("there is spool check, with --json or without");
    if (s->spool.path.len == 0)
        return trouble("the configuration has mistakes");
    words[2] = memory_copy(s->spool.path);
    control_become_queue(words);
    return EXIT_TROUBLE;
}
