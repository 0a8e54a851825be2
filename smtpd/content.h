/* The content of a message while it comes in: in memory, or on its way to a file of the spool.
 * All contents of a process share one budget; when it is used up even small ones need a file. */
#ifndef SMTPD_CONTENT_H
#define SMTPD_CONTENT_H

#include "common/attrs.h"
#include "common/view.h"

struct content_budget {
    uint64_t most, used; /* bytes, by all contents */
    uint64_t each_most;  /* bytes that one content may have without a file */
};

/* Zeroed but for `budget` is an empty content without a file. */
struct content {
    struct content_budget *budget;
    char *room;
    size_t len, capacity;
    uint64_t spilled; /* bytes that went to the file */
    uint32_t crc;     /* of those */
    bool filed;       /* there is a file: memory is only a stop-over */
};

/* Room for `bytes` more, or false: a file is needed first. With a file it is always true, since
 * the driver empties the memory after every read. */
bool content_reserve(struct content *c, size_t bytes) MUST_USE;
void content_put(struct content *c, struct view bytes); /* at most what was reserved */
/* From now on the driver writes what is in memory to a file. */
void content_use_file(struct content *c);

struct view content_in_memory(const struct content *c); /* until the next change */
void content_spilled(struct content *c);                /* what was in memory is in the file */
uint64_t content_bytes(const struct content *c);        /* in memory and in the file */
uint32_t content_crc(const struct content *c);          /* CRC32C of all of it */

/* Forgets everything and gives the memory back. */
void content_clear(struct content *c);

#endif
