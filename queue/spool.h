/* The spool's folder: lock, format, the folders in it, and the one where damage is set aside.
 *
 *   format   which layout this is, and the spool's uuid
 *   lock     locked by the process that owns the spool
 *   log/     segments; big/  large bodies; free/  segments to be used again; bad/  damage */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include "common/attrs.h"
#include "common/error.h"
#include "common/view.h"

#include <fcntl.h>
#include <sys/types.h>

enum {
    /* A pipe that lies where a file should be must not keep us. */
    SPOOL_READING = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
    SPOOL_SEGMENT_MAX = 64 << 20, /* bytes; the most that the setting spool.segment allows */
    SPOOL_VERSION = 1,
    SPOOL_UUID_LEN = 32, /* hexadecimal digits */
};

struct spool {
    const char *path; /* the caller's */
    bool read_only;
    int root, log, free, big, bad, lock; /* descriptors; -1: not there (read-only) */
    char uuid[SPOOL_UUID_LEN];
    bool uuid_known; /* false: the format file is lost; the log may tell */
};

/* Opens or makes it, and locks it. */
int spool_open(struct spool *s, const char *path, bool read_only, struct error *err) MUST_USE;
void spool_close(struct spool *s);
/* Writes `format` when it is missing, with s->uuid if that is known now, else a new one. */
int spool_settle_format(struct spool *s, struct error *err) MUST_USE;

/* Bytes free for us in its file system. */
int spool_space(const struct spool *s, uint64_t *bytes) MUST_USE;

/* Keeps a copy of damaged bytes as bad/NAME; once a name. */
void spool_set_aside(const struct spool *s, const char *name, struct view bytes);
/* Moves a file there. */
void spool_move_aside(const struct spool *s, int folder, const char *name);

/* ---- files: 0 or a negative errno ---- */

int file_write_all(int fd, struct view bytes, uint64_t offset) MUST_USE;
/* As many as there are up to `count`; blocks that cannot be read are zeros and set *broken. */
ssize_t file_read_all(int fd, char *room, size_t count, uint64_t offset, bool *broken) MUST_USE;
/* A whole small file as text; NUL-terminated, cut to size - 1. */
int file_read_text(int folder, const char *name, char *room, size_t size) MUST_USE;
/* Calls `each` for every name but those that begin with a dot. */
int folder_each(int folder, void (*each)(void *arg, const char *name), void *arg) MUST_USE;
/* Replaces the file durably. */
int file_replace(int folder, const char *name, struct view text) MUST_USE;

#endif
