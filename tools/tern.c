/* tern: the administrator's command (tern(8), tern-queue(8)). */
#include "tools/commands.h"

#include "common/attrs.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE_COLUMN = 32, WORDS_MAX = 2 };

static char self[] = "tern"; /* what getopt calls us */
static const char head[] = "usage: tern [--config FILE] COMMAND\n";
static const char filters[] = "FILTER: ID ..., --all, --sender ADDRESS, --recipient ADDRESS, "
                              "--domain DOMAIN, --state STATE\n";

/* clang-format off */
static const struct command {
    const char *words;
    const char *takes; /* --json is for those that have it here */
    const char *does;
    int (*run)(const struct invocation *in);
} commands[] = {
    { "config check",       "[FILE]", "look for mistakes in the configuration",
      command_config_check },
    { "explain",            "--from A --to B [--login L] [--client IP] [--name HOST] [--helo H]\n"
                            "          [--listener NAME] [--tls VERSION] [--json]",
      "why mail is taken or refused, and where it goes", command_explain },
    { "explain",            "ID [--json]", "where a message of the queue goes, and why it waits",
      command_explain },
    { "status",             "[--json]", "what runs, and what is in the queue", command_status },
    { "destinations",       "[NAME] [--json]",
      "where mail goes to, how it fares there, and what waits", command_destinations },
    { "destinations open",  "NAME [--json]", "try nothing there until it is closed",
      command_destinations },
    { "destinations close", "NAME [--json]", "try now", command_destinations },
    { "trace",              "ADDRESS|ID|MESSAGE-ID [--json]", "what happened to that mail",
      command_trace },
    { "queue list",         "[FILTER] [--json]", "the messages in the queue, and why they wait",
      command_queue },
    { "queue show",         "FILTER [--json]", "everything about a message", command_queue },
    { "queue cat",          "ID", "a message as it is sent", command_cat },
    { "queue retry",        "FILTER [--json]", "try now", command_queue },
    { "queue hold",         "FILTER [--json]", "do not try until released", command_queue },
    { "queue release",      "FILTER [--json]", "end a hold", command_queue },
    { "queue delete",       "FILTER [--json]",
      "forget after a while, without a notice to the sender", command_queue },
    { "queue undelete",     "FILTER [--json]", "bring back what was deleted, held", command_queue },
    { "queue export",       "FILTER FOLDER [--json]", "write messages and their envelopes as files",
      command_export },
    { "queue import",       "FOLDER", "take in what was exported", command_import },
    { "reroute",            "--dry-run [--config FILE] [--json]",
      "what FILE would change for queued mail", command_reroute },
    { "spool check",        "[--json]", "look for damage in the spool", command_spool_check },
    { "user list",          "", "those who may log in", command_user },
    { "user add",           "LOGIN", "one more; the password comes from the terminal or stdin",
      command_user },
    { "user passwd",        "LOGIN", "another password", command_user },
    { "user remove",        "LOGIN", "no more", command_user },
};
/* clang-format on */

/* ---- what commands say ---- */

PRINTF_LIKE(1, 0)
static void complain(const char *format, va_list args)
{
    fputs("tern: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int trouble(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(format, args);
    va_end(args);
    return EXIT_TROUBLE;
}

int wrong_use(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(format, args);
    va_end(args);
    return EXIT_WRONG_USE;
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

void print_matched(const struct invocation *in, unsigned long long count, const char *what)
{
    if (in->json)
        printf("{\"v\":1,\"matched\":%llu}\n", count);
    else
        printf("%s: %llu %s%s\n", in->name, count, what, count == 1 ? "" : "s");
}

/* ---- usage ---- */

/* The words begin with those: "queue list" with "queue". */
static bool begins_with(const char *words, const char *begin)
{
    size_t len = strlen(begin);

    return strncmp(words, begin, len) == 0 && (len == 0 || words[len] == '\0' || words[len] == ' ');
}

static void show_command(const struct command *c, FILE *out)
{
    int width = fprintf(out, "  %s%s%s", c->words, c->takes[0] == '\0' ? "" : " ", c->takes);

    if (width > USAGE_COLUMN || strchr(c->takes, '\n') != NULL) {
        fputc('\n', out);
        width = 0;
    }
    fprintf(out, "%*s %s\n", USAGE_COLUMN - width, "", c->does);
}

/* All commands that begin with those words. */
static void show_usage(const char *begin, FILE *out)
{
    bool filter = false;

    fputs(head, out);
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (!begins_with(commands[i].words, begin))
            continue;
        show_command(&commands[i], out);
        filter = filter || strstr(commands[i].takes, "FILTER") != NULL;
    }
    if (filter)
        fputs(filters, out);
}

/* ---- one command ---- */

/* The one with most words of these. */
static const struct command *find_command(int argc, char **argv, int *words)
{
    const struct command *found = NULL;
    char text[128] = "";
    size_t len = 0;

    for (int n = 0; n < argc && n < WORDS_MAX && len < sizeof(text); n++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", n > 0 ? " " : "", argv[n]);
        for (size_t i = 0; i < COUNT_OF(commands); i++) {
            if (strcmp(commands[i].words, text) == 0 && *words != n + 1) {
                found = &commands[i];
                *words = n + 1;
            }
        }
    }
    return found;
}

static bool has_option(int argc, char **argv, const char *option)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], option) == 0)
            return true;
    }
    return false;
}

/* --json may stand anywhere. */
static void take_json(struct invocation *in)
{
    int kept = 0;
    bool over = false;

    for (int i = 0; i < in->argc; i++) {
        over = over || strcmp(in->argv[i], "--") == 0;
        if (!over && strcmp(in->argv[i], "--json") == 0)
            in->json = true;
        else
            in->argv[kept++] = in->argv[i];
    }
    in->argv[kept] = NULL;
    in->argc = kept;
}

static int run(const struct command *command, struct invocation *in)
{
    struct settings s;
    int status;

    in->config = config_read(in->path);
    settings_gather(in->config);
    settings_read(&s, in->config);
    in->settings = &s;
    /* After a reload that failed, this is how to find out what runs. */
    if (config_error_count(in->config) > 0) {
        struct view words = config_errors(in->config);

        fprintf(stderr, "%.*s", VIEW_ARG(words));
        s.spool.path = VIEW_EMPTY;
    }
    status = command->run(in);
    settings_release(&s);
    config_free(&in->config);
    return status;
}

/* No such command: what there is instead. */
static int show_choice(int argc, char **argv, bool help)
{
    bool known = false;

    for (size_t i = 0; argc > 0 && i < COUNT_OF(commands); i++)
        known = known || begins_with(commands[i].words, argv[0]);
    if (!help && argc > (known ? 1 : 0) && argv[known][0] != '-')
        trouble("there is no command \"%s%s%s\"", argv[0], known ? " " : "", known ? argv[1] : "");
    show_usage(known ? argv[0] : "", help ? stdout : stderr);
    return help ? EXIT_SUCCESS : EXIT_TROUBLE;
}

static int run_words(const char *path, int argc, char **argv)
{
    struct invocation in = { .path = path };
    int words = 0, status;
    const struct command *command = find_command(argc, argv, &words);

    if (command == NULL)
        return show_choice(argc, argv, has_option(argc, argv, "--help"));
    if (has_option(argc, argv, "--help")) {
        show_usage(command->words, stdout);
        return EXIT_SUCCESS;
    }
    in.name = argv[words - 1];
    argv[words - 1] = self;
    in.argc = argc - words + 1;
    in.argv = argv + words - 1;
    if (strstr(command->takes, "[--json]") != NULL)
        take_json(&in);
    status = command->run == command_config_check ? command->run(&in) : run(command, &in);
    if (status != EXIT_WRONG_USE)
        return status;
    show_usage(command->words, stderr);
    return EXIT_TROUBLE;
}

static int finish(int status)
{
    if (fflush(stdout) == EOF || ferror(stdout))
        return trouble("not all of this could be written");
    return status;
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
    signal(SIGPIPE, SIG_DFL); /* "tern queue list | head" ends with head */
    argv[0] = self;
    while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) == 'c')
        path = optarg;
    if (option == -1)
        return finish(run_words(path, argc - optind, argv + optind));
    show_usage("", option == 'h' ? stdout : stderr);
    return finish(option == 'h' ? EXIT_SUCCESS : EXIT_TROUBLE);
}
