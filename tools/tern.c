/* tern: the administrator's command (tern(8), tern-queue(8)). */
#include "tools/commands.h"

#include "io/config.h"
#include "ipc/rules.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: tern [--config FILE] COMMAND\n"
    "  config check [FILE]            look for mistakes in the configuration\n"
    "  explain --from A --to B [--login L] [--client IP] [--name HOST] [--helo H]\n"
    "          [--listener NAME] [--tls VERSION] [--json]\n"
    "                                 why mail is taken or refused, and where it goes\n"
    "  explain ID [--json]            where a message of the queue goes, and why it waits\n"
    "  status [--json]                what runs, and what is in the queue\n"
    "  destinations [NAME] [--json]   where mail goes to, how it fares there, and what waits\n"
    "  destinations open NAME         try nothing there until it is closed\n"
    "  destinations close NAME        try now\n"
    "  trace ADDRESS|ID|MESSAGE-ID [--json]\n"
    "                                 what happened to that mail\n"
    "  queue list [FILTER] [--json]   the messages in the queue, and why they wait\n"
    "  queue show ID [--json]         everything about one message\n"
    "  queue cat ID                   a message as it is sent\n"
    "  queue retry FILTER             try now\n"
    "  queue hold FILTER              do not try until released\n"
    "  queue release FILTER           end a hold\n"
    "  queue delete FILTER            forget after a while, without a notice to the sender\n"
    "  queue undelete FILTER          bring back what was deleted, held\n"
    "  queue export FILTER DIR        write messages and their envelopes as files\n"
    "  queue import DIR               take in what was exported\n"
    "  reroute --dry-run [--config FILE] [--json]\n"
    "                                 what FILE would change for queued mail\n"
    "  spool check [--json]           look for damage in the spool\n"
    "  user list                      those who may log in\n"
    "  user add LOGIN                 one more; the password comes from the terminal or stdin\n"
    "  user passwd LOGIN              another password\n"
    "  user remove LOGIN              no more\n"
    "FILTER: ID ..., --all, --sender ADDRESS, --recipient ADDRESS, --domain DOMAIN, --state "
    "STATE\n";

int trouble(const char *format, ...)
{
    va_list args;

    fputs("tern: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_TROUBLE;
}

void print_safe(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.ptr[i];
        /* U+0080 to U+009F are control characters too: C2 80 to C2 9F. */
        bool c1 = b == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;

        putchar(b < ' ' || b == 0x7f || c1 ? '?' : b);
        i += c1;
    }
}

int command_config_check(const char *path)
{
    struct config *c = config_read(path);
    struct settings s;
    struct view words;
    unsigned mistakes;

    settings_load(&s, c);
    mistakes = config_error_count(c);
    words = config_errors(c);
    fprintf(stderr, "%.*s", VIEW_ARG(words));
    if (mistakes == 0)
        printf(
            "%s: ok: %.*s, %zu listener%s, %zu rule%s, %zu domain%s, %zu mailbox%s, %zu route%s\n",
            path, VIEW_ARG(s.hostname), s.listener_count, s.listener_count == 1 ? "" : "s",
            s.rules->count, s.rules->count == 1 ? "" : "s", s.domains.count,
            s.domains.count == 1 ? "" : "s", s.mailboxes.count + s.pattern_count,
            s.mailboxes.count + s.pattern_count == 1 ? "" : "es", s.route_count,
            s.route_count == 1 ? "" : "s");
    else
        fprintf(stderr, "%s: %u mistake%s\n", path, mistakes, mistakes == 1 ? "" : "s");
    settings_release(&s);
    config_free(&c);
    return mistakes == 0 ? EXIT_SUCCESS : EXIT_TROUBLE;
}

static int show_usage(void)
{
    fputs(usage, stderr);
    return EXIT_TROUBLE;
}

/* The commands that need the settings: where the control socket and the spool are. */
static int run(const char *path, int argc, char **argv)
{
    struct config *c = config_read(path);
    struct settings s;
    int status;

    settings_gather(c);
    settings_read(&s, c);
    /* After a reload that failed, this is how to find out what runs. */
    if (config_error_count(c) > 0) {
        struct view words = config_errors(c);

        fprintf(stderr, "%.*s", VIEW_ARG(words));
        s.spool.path = VIEW_EMPTY;
    }
    if (strcmp(argv[0], "status") == 0) {
        status = command_status(&s, argc - 1, argv + 1);
    } else if (strcmp(argv[0], "destinations") == 0) {
        status = command_destinations(&s, argc - 1, argv + 1);
    } else if (strcmp(argv[0], "reroute") == 0) {
        status = command_reroute(&s, path, argc, argv);
    } else if (argc > 1 && strcmp(argv[0], "explain") == 0) {
        status = command_explain(c, &s, argc, argv);
    } else if (argc > 1 && strcmp(argv[0], "spool") == 0) {
        status = command_spool(&s, argc - 1, argv + 1);
    } else if (strcmp(argv[0], "trace") == 0) {
        status = command_trace(&s, argc, argv);
    } else if (argc > 1 && strcmp(argv[0], "user") == 0) {
        status = command_user(&s, argc - 1, argv + 1);
    } else if (argc > 1) {
        status = command_queue(&s, argc - 1, argv + 1);
    } else {
        status = show_usage();
    }
    settings_release(&s);
    config_free(&c);
    return status;
}

static bool needs_settings(const char *command)
{
    static const char *const commands[] = { "status", "destinations", "explain", "reroute",
                                            "queue",  "spool",        "trace",   "user" };

    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(commands[i], command) == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *path = getenv("TERN_CONFIG");
    int option;

    if (path == NULL || path[0] == '\0')
        path = TERN_CONFIG_PATH;
    while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
        if (option != 'c')
            return show_usage();
        path = optarg;
    }
    argc -= optind;
    argv += optind;
    if (argc >= 2 && argc <= 3 && strcmp(argv[0], "config") == 0 && strcmp(argv[1], "check") == 0)
        return command_config_check(argc == 3 ? argv[2] : path);
    if (argc >= 1 && needs_settings(argv[0]))
        return run(path, argc, argv);
    return show_usage();
}
