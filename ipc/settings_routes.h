/* Routes: between the files that read, check and use them. */
#ifndef IPC_SETTINGS_ROUTES_H
#define IPC_SETTINGS_ROUTES_H

#include "ipc/settings.h"

/* Mistakes that several settings make together; reports into `c`. */
void settings_check_routes(struct config *c, const struct settings *s);

#endif
