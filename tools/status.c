#include "tools/commands.h"
#include "tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_status(const struct settings *s, int argc, char **argv)
{
    bool as_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    struct control control;
    struct error why;
    struct view line;
    int status = EXIT_SUCCESS;

    if (argc > 0 && !as_json)
        return trouble("status takes nothing but --json");
    if (control_open(&control, s, &why) < 0 || control_ask(&control, VIEW("status"), &why) < 0)
        return trouble("%s", why.text);
    (void)line;
    control_close(&control);
    return status;
}
