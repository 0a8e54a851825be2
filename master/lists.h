/* The files with lists that rules ask: handed to the smtpd processes, and again when they change.
 */
#ifndef MASTER_LISTS_H
#define MASTER_LISTS_H

#include "common/error.h"
#include "ipc/settings.h"

#include <sys/stat.h>

struct watched_list {
    int fd;           /* open for reading: what the processes have */
    struct stat have; /* of that */
    struct stat seen; /* of the file at the last look, when it was another */
};

/* Opens all of them; NULL when one cannot be read. */
struct watched_list *lists_open(const struct rules *r, struct error *err) MUST_USE;
void lists_close(struct watched_list **lists, const struct rules *r);
/* Looks at list number i. True: it has changed, is not being written any more, and `fd` is the new
 * one. A file that cannot be read leaves things as they are. */
bool lists_look(struct watched_list *lists, const struct rules *r, size_t i) MUST_USE;

#endif
