/* Which SMTP extensions are offered. */
#include "common/attrs.h"
#include "ipc/settings.h"
#include "ipc/settings_rows.h"

#include <string.h>

#define OFFER(key, which, words)                                                                   \
    VALUE(key, BOOL, struct extension_settings, on[EXTENSION_##which], "yes", words)
/* clang-format off */
static const struct config_item items[] = {
    OFFER("chunking",   CHUNKING,   "RFC 3030: messages in chunks, with BDAT"),
    OFFER("dsn",        DSN,        "RFC 3461: reports of success, failure or delay as the sender wants them"),
    OFFER("smtputf8",   SMTPUTF8,   "RFC 6531: addresses that are not ASCII"),
    OFFER("requiretls", REQUIRETLS, "RFC 8689, under TLS: only over verified TLS from here on"),
    OFFER("limits",     LIMITS,     "RFC 9422: how many recipients a message may have"),
    OFFER("deliverby",  DELIVERBY,  "RFC 2852: a time by which a message arrives, or is returned or reported"),
    OFFER("futurerelease", FUTURERELEASE, "RFC 4865, with role submission: a time before which nothing is sent"),
    OFFER("mt-priority", MT_PRIORITY, "RFC 6710, to clients that may relay: which message comes first"),
};
/* clang-format on */

const struct settings_table settings_extensions = { "extensions", items, COUNT_OF(items) };

void settings_read_extensions(struct config *c, struct config_node *n,
                              struct extension_settings *out)
{
    config_section(c, n, items, COUNT_OF(items), out);
}

/* RFC 4865 is for submission: elsewhere a listener has to ask for it. */
void settings_read_own_extensions(struct config *c, struct config_node *n,
                                  struct listener_settings *l)
{
    struct config_item own[COUNT_OF(items)];

    memcpy(own, items, sizeof(items));
    for (size_t i = 0; i < COUNT_OF(own) && l->role != LISTENER_SUBMISSION; i++) {
        if (strcmp(own[i].name, "futurerelease") == 0)
            own[i].fallback = "no";
    }
    config_section(c, n, own, COUNT_OF(own), &l->extensions);
}
