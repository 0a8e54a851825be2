/* The subcommands of tern(8). */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

#include "common/view.h"
#include "ipc/settings.h"

enum {
    EXIT_NONE_MATCHED = 1, /* a queue command found no message */
    EXIT_TROUBLE = 2,      /* a mistake in the call, the configuration or the answer */
    EXIT_WRONG_USE,        /* likewise; the command's usage is printed */
};

/* How a subcommand was called. */
struct invocation {
    const char *name; /* the last of its words: "list" of "queue list" */
    const char *path; /* of the configuration */
    struct config *config;
    const struct settings *settings;
    bool json;
    int argc; /* what follows the command's words, but for --json; argv[0] is "tern" (getopt) */
    char **argv;
};

int command_config_check(const struct invocation *in);
int command_destinations(const struct invocation *in);
int command_explain(const struct invocation *in);
int command_export(const struct invocation *in);
int command_cat(const struct invocation *in);
int command_import(const struct invocation *in);
int command_queue(const struct invocation *in); /* the others */
int command_reroute(const struct invocation *in);
int command_spool_check(const struct invocation *in);
int command_status(const struct invocation *in);
int command_trace(const struct invocation *in);
int command_user(const struct invocation *in);

/* Prints a mistake on standard error; EXIT_TROUBLE. */
int trouble(const char *format, ...) PRINTF_LIKE(1, 2);
/* The same; EXIT_WRONG_USE. */
int wrong_use(const char *format, ...) PRINTF_LIKE(1, 2);
/* Prints what came from outside: control bytes become '?', so that no mail moves the cursor. */
void print_safe(struct view text);
/* "retry: 3 messages", or as JSON. */
void print_matched(const struct invocation *in, unsigned long long count, const char *what);

#endif
