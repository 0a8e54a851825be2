/* Large bodies: plain files big/1a/1a2b....eml, named by a random number that is never used again.
 */
#ifndef QUEUE_BODIES_H
#define QUEUE_BODIES_H

#include "queue/idset.h"
#include "queue/spool.h"
#include "queue/workers.h"

enum { BODIES_FOLDERS = 256 }; /* below big/ */

struct bodies {
    const struct spool *spool;
    struct workers pool;
    bool fresh[BODIES_FOLDERS]; /* subfolders made by us whose own name is not durable yet */
};

int bodies_open(struct bodies *b, const struct spool *spool, struct loop *l) MUST_USE;
int bodies_start(struct bodies *b) MUST_USE;
void bodies_close(struct bodies *b);

/* A new empty file, open for reading and writing; a negative errno. */
int bodies_create(struct bodies *b, uint64_t *number) MUST_USE;
/* Makes it durable, name and all; `synced` is called in the loop. A file that has not `bytes` bytes
 * is -EBADMSG. `fd` must stay open until then. */
void bodies_sync(struct bodies *b, int fd, uint64_t number, uint64_t bytes,
                 void (*synced)(void *arg, int error), void *arg);
void bodies_remove(struct bodies *b, uint64_t number);
/* For reading; -EBADMSG when it has not `bytes` bytes. */
int bodies_read(const struct spool *spool, uint64_t number, uint64_t bytes) MUST_USE;
/* Whether it could: 0, or a negative errno. */
int bodies_look(const struct spool *spool, uint64_t number, uint64_t bytes) MUST_USE;
/* Which folders are there. */
void bodies_folders(const struct spool *spool, bool there[static BODIES_FOLDERS]);
/* Whatever is in that folder (of BODIES_FOLDERS) and not `named` goes: away, or aside when the log
 * is damaged and may have named it. */
void bodies_sweep(const struct spool *spool, unsigned folder, const struct idset *named,
                  bool aside);

#endif
