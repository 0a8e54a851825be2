/* What must fit together across sections. */
#ifndef IPC_SETTINGS_CHECK_H
#define IPC_SETTINGS_CHECK_H

#include "ipc/settings.h"

/* Reports contradictions at the place that is easiest to change. */
void settings_check(struct config *c, const struct settings *s);

#endif
