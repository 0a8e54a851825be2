/* Who may log in, and how often it may fail. */
#include "ipc/settings_rows.h"

/* clang-format off */
#define TRIES(key, field, text) \
    NUMBER(key, COUNT, struct auth_settings, field, 1, 100000, "10", text)
static const struct config_item items[] = {
    VALUE("users", PATH, struct auth_settings, users, NULL,
          "file of those who may log in; \"tern user\" writes it"),
    TRIES("tries-per-client", tries_per_client, "logins of one client that may fail in tries-time"),
    TRIES("tries-per-login",  tries_per_login,
          "those of one login, from clients that it was not used from before"),
    NUMBER("tries-time", SECONDS, struct auth_settings, tries_ms, SECOND_MS, 30 * DAY_MS, "10m",
           "after that they are forgotten"),
    NUMBER("timeout", SECONDS, struct auth_settings, timeout_ms, SECOND_MS, HOUR_MS, "1m",
           "waiting until a login has been checked"),
};
/* clang-format on */

const struct settings_table settings_auth_table = { "auth", items, COUNT_OF(items) };

void settings_read_auth(struct config *c, struct config_node *n, void *settings)
{
    config_section(c, n, items, COUNT_OF(items), &((struct settings *)settings)->auth);
}

bool settings_has_logins(const struct settings *s)
{
    return s->auth.users.len > 0;
}
