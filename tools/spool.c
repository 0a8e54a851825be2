/* tern spool check: the queue's program does it (queue/check.h), with the rights of the spool's
 * owner. */
#include "common/memory.h"
#include "tools/commands.h"
#include "tools/control.h"

int command_spool_check(const struct invocation *in)
{
    char text[] = "--check", objects[] = "--check-json";
    char *words[] = { NULL, in->json ? objects : text, NULL, NULL };

    if (in->argc > 1)
        return wrong_use("the spool is the one of the configuration");
    if (in->settings->spool.path.len == 0)
        return trouble("the configuration has mistakes");
    words[2] = memory_copy(in->settings->spool.path);
    control_become_queue(words);
    return EXIT_TROUBLE;
}
