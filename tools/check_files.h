/* What "tern config check" looks at beside the configuration itself. */
#ifndef TOOLS_CHECK_FILES_H
#define TOOLS_CHECK_FILES_H

#include "io/config.h"
#include "ipc/settings.h"

/* Certificates, keys, authorities, passwords and tokens: without them Tern would not start. */
void check_files(struct config *c, const struct settings *s);
/* Users, as root, and the folders that they write to. */
void check_system(struct config *c, const struct settings *s);

#endif
