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

static int hear(void *of, const struct json_node *n)
{
    (void)of;
    print_pairs(n, 0);
    return 0;
}

int command_status(const struct invocation *in)
{
    const struct control_listener to = { .hear = hear, .as_it_is = in->json };

    if (in->argc > 1)
        return wrong_use("status is of everything");
    return control_call(in->settings, VIEW("status"), &to, NULL);
}
