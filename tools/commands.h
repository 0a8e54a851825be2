/* The subcommands of tern(8): each gets its own words and gives the exit status. */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

#include "common/view.h"
#include "ipc/settings.h"

enum {
    EXIT_NONE_MATCHED = 1, /* a queue command found no message */
    EXIT_TROUBLE = 2,      /* a mistake in the call, the configuration or the answer */
};

int command_config_check(const char *path);
int command_destinations(const struct settings *s, int argc, char **argv);
int command_explain(struct config *c, const struct settings *s, int argc, char **argv);
int command_status(const struct settings *s, int argc, char **argv);
int command_queue(const struct settings *s, int argc, char **argv);
int command_trace(const struct settings *s, int argc, char **argv); /* argv[0] is "trace" */
int command_cat(const struct settings *s, int argc, char **argv);
int command_export(const struct settings *s, int argc, char **argv);
int command_user(const struct settings *s, int argc, char **argv);
int command_spool(const struct settings *s, int argc, char **argv);
/* `path`: of the configuration that is compared, unless another is named. */
int command_reroute(const struct settings *s, const char *path, int argc, char **argv);
int command_import(const struct settings *s, int argc, char **argv);

/* Prints a mistake on standard error; EXIT_TROUBLE. */
int trouble(const char *format, ...) PRINTF_LIKE(1, 2);
/* Prints what came from outside: control bytes become '?', so that no mail moves the cursor. */
void print_safe(struct view text);

#endif
