/* Between the files that read rules from the settings. */
#ifndef IPC_SETTINGS_RULES_H
#define IPC_SETTINGS_RULES_H

#include "ipc/rules.h"
#include "ipc/settings.h"

/* What a rule does, "then": an action or a list of them. */
void settings_read_then(struct config *c, struct config_node *n, void *rule);
bool settings_is_field_name(struct view text);

#endif
