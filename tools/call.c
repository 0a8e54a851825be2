#include "tools/call.h"

#include "common/attrs.h"
#include "tools/control.h"

#include <getopt.h>
#include <string.h>

enum { ID_DIGITS = 16 };

static int add_filter(struct call *call, const char *key, struct view value)
{
    call->filters++;
    return control_put(&call->request, key, value) ? 0 : trouble("too many ids for one call");
}

static int add_state(struct call *call, const char *state)
{
    static const char *const states[] = { "ready",   "active", "deferred",
                                          "waiting", "held",   "deleted" };

    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (strcmp(state, states[i]) == 0)
            return add_filter(call, "state", view_of(state));
    }
    return wrong_use("there is no state %s: ready, active, deferred, waiting, held or deleted",
                     state);
}

static int add_id(struct call *call, const char *id)
{
    uint64_t number;

    if (strlen(id) != ID_DIGITS || !view_hex_to_u64(view_of(id), &number))
        return wrong_use("%s is no id, which has sixteen hexadecimal digits", id);
    return add_filter(call, "id", view_of(id));
}

int call_read(struct call *call, const struct invocation *in, const char **folder)
{
    static const struct option options[] = {
        { "all", no_argument, NULL, 'a' },
        { "sender", required_argument, NULL, 's' },
        { "recipient", required_argument, NULL, 'r' },
        { "domain", required_argument, NULL, 'd' },
        { "state", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    static const char *const keys[256] = {
        ['s'] = "sender",
        ['r'] = "recipient",
        ['d'] = "domain",
    };
    int option, count = in->argc, status = 0;

    optind = 0;
    while (status == 0 && (option = getopt_long(in->argc, in->argv, "", options, NULL)) != -1) {
        if (option == 'a')
            status = add_filter(call, "all", VIEW("1"));
        else if (option == 't')
            status = add_state(call, optarg);
        else if (option > 0 && option < 256 && keys[option] != NULL)
            status = add_filter(call, keys[option], view_of(optarg));
        else
            status = EXIT_WRONG_USE;
    }
    if (folder != NULL && optind < count)
        *folder = in->argv[--count];
    for (; status == 0 && optind < count; optind++)
        status = add_id(call, in->argv[optind]);
    return status;
}
