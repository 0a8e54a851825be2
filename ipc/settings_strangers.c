/* How clients that may not relay for their address are met. */
#include "common/attrs.h"
#include "ipc/settings_rows.h"

enum { GREET_DELAY_MAX_MS = 60000, SLOW_MAX_MS = 30000 };

#define STRANGERS(key, kind, field, low, high, value, text)                                        \
    NUMBER(key, kind, struct strangers_settings, field, low, high, value, text)
/* clang-format off */
static const struct config_item items[] = {
    STRANGERS("greet-delay",  SECONDS, greet_delay_ms, 0, GREET_DELAY_MAX_MS, "0s",
              "time before the greeting; who talks in it is sent away (not under implicit TLS)"),
    STRANGERS("slow-after",   COUNT,   slow_after,     0, 100000,             "3",
              "refused commands of a session, after which each further one is answered late"),
    STRANGERS("slow-by",      SECONDS, slow_ms,        0, SLOW_MAX_MS,        "1s",
              "by how much; 0: never"),
    STRANGERS("content-rate", BYTES,   content_rate,   0, MIB,                "100",
              "bytes of a message a second, measured after its first minute, that are the least; 0: any"),
};
/* clang-format on */

const struct settings_table settings_strangers = { "strangers", items, COUNT_OF(items) };

void settings_read_strangers(struct config *c, struct config_node *n, void *section)
{
    config_section(c, n, items, COUNT_OF(items), &((struct settings *)section)->strangers);
}
