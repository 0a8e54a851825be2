#include "tools/call.h"

#include "tools/commands.h"

#include <getopt.h>
#include <stddef.h>

static bool add_filter(struct call *call, const char *key, struct view value)
{
    call->filters++;
    return control_put(&call->request, key, value);
}

int call_read(struct call *call, int argc, char **argv)
{
    static const struct option options[] = {
        { "all", no_argument, NULL, 'a' },
        { "sender", required_argument, NULL, 's' },
        { "recipient", required_argument, NULL, 'r' },
        { "domain", required_argument, NULL, 'd' },
        { "state", required_argument, NULL, 't' },
        { "json", no_argument, NULL, 'j' },
        { NULL, 0, NULL, 0 },
    };
    static const char *const keys[256] = {
        ['s'] = "sender",
        ['r'] = "recipient",
        ['d'] = "domain",
        ['t'] = "state",
    };
    bool fits = true;
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            call->json = true;
        else if (option == 'a')
            fits = fits && add_filter(call, "all", VIEW("1"));
        else if (option > 0 && option < 256 && keys[option] != NULL)
            fits = fits && add_filter(call, keys[option], view_of(optarg));
        else
            return EXIT_TROUBLE;
    }
    if (call->wants_folder && optind < argc)
        call->folder = argv[--argc];
    for (; optind < argc; optind++)
        fits = fits && add_filter(call, "id", view_of(argv[optind]));
    return fits ? 0 : trouble("too many ids for one call");
}

int call_begin(const struct call *call, const struct settings *s, struct control *control)
{
    struct error why;

    if (control_open(control, s, &why) < 0)
        return trouble("%s", why.text);
    if (call->request.room == NULL || control_ask(control, buf_view(&call->request), &why) == 0)
        return 0;
    control_close(control);
    return trouble("%s", why.text);
}
