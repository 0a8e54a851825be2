/* tern-master: the program that the service manager starts (tern(8)). */
#include "io/log.h"
#include "master/master.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] = "usage: tern-master [--config FILE]\n"
                            "Runs in the foreground and logs on standard error.\n"
                            "SIGTERM drains and ends, SIGHUP reloads the configuration.\n";

/* Else the first files that are opened would take the places of standard input, output and error,
 * and the log, for one, would go into them. */
static bool fill_standard_places(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd >= 0 && close(fd) == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *config_path = TERN_CONFIG_PATH;
    struct master master;
    int option;

    if (!fill_standard_places())
        return EXIT_FAILURE;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
        if (option != 'c') {
            fputs(usage, stderr);
            return EXIT_FAILURE;
        }
        config_path = optarg;
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    log_open("master", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    return master_run(&master, config_path);
}
