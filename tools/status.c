#include "tools/commands.h"
#include "tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whatever the queue tells of itself: an object's pairs a line each, what is inside further in. */
static void print_pairs(const struct json_node *object, int indent)
{
    for (size_t i = 0; i < json_count(object); i++) {
        const struct json_node *value = json_at(object, i);

        printf("%*s", indent, "");
        print_safe(json_key_at(object, i));
        if (!json_is_object(value) && !json_is_list(value)) {
            fputs(": ", stdout);
            print_safe(json_text(value));
        }
        putchar('\n');
        for (size_t j = 0; json_is_list(value) && j < json_count(value); j++) {
            if (j > 0)
                printf("%*s-\n", indent + 2, "");
            print_pairs(json_at(value, j), indent + 2);
        }
        if (json_is_object(value))
            print_pairs(value, indent + 2);
    }
}

int command_status(const struct settings *s, int argc, char **argv)
{
    bool as_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    struct control control;
    struct error why;
    struct view line;
    int status = EXIT_TROUBLE;

    if (argc > 0 && !as_json)
        return trouble("status takes nothing but --json");
    if (control_open(&control, s, &why) < 0 || control_ask(&control, VIEW("status"), &why) < 0)
        return trouble("%s", why.text);
    while (control_read(&control, &line)) {
        struct json *j = json_parse(line);
        const struct json_node *n = json_root(j);
        struct view error = json_text(json_get(n, "error"));
        bool last = error.len > 0 || json_get(n, "end") != NULL;

        if (error.len > 0)
            trouble("%.*s", VIEW_ARG(error));
        else if (last)
            status = EXIT_SUCCESS;
        else if (as_json)
            printf("%.*s\n", VIEW_ARG(line));
        else
            print_pairs(n, 0);
        json_free(&j);
        if (last)
            break;
    }
    control_close(&control);
    return status;
}
