/* Envelope and body of a queued message: from the cache if it is there, else read back. */
#ifndef QUEUE_CONTENT_H
#define QUEUE_CONTENT_H

#include "queue/queue.h"

struct content {
    struct envelope envelope;
    struct view body; /* empty when big */
    int big_fd;       /* -1, or open for reading; borrowed */
    uint64_t body_bytes;
    uint32_t body_crc;
    struct store_message message; /* private */
    struct arena arena;           /* private */
};

/* 0, -EBADMSG (damaged), or another negative errno. What it gives lives until content_close, and
 * only as long as the cache is not touched. */
int content_open(struct queue *q, const struct mail *m, bool with_body, struct content *c) MUST_USE;
/* In two steps, for who wants what is there although it makes no sense: c->message.envelope. */
int content_read(struct queue *q, const struct mail *m, bool with_body, struct content *c) MUST_USE;
bool content_understand(const struct mail *m, struct content *c) MUST_USE; /* c->envelope */
/* c->big_fd, the caller's from now on. */
int content_take_file(struct content *c);
void content_close(struct content *c);

#endif
