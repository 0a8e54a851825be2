/* How hard compaction works, by how much larger the log is than it should be, which is one and a
 * half times what lives in it and HASTE_SLACK segments. Pure.
 *
 *   not larger                      nothing is moved
 *   by up to HASTE_MOST segments    a share of the bytes, a quarter first, which grows with each
 *   by more                         as fast as it can
 *   by more than HASTE_HOLD         new mail waits until it is less, while compaction can help
 *
 * So the log has no more than one and a half times what lives in it and HASTE_BOUND segments,
 * whatever comes. The last two are for what does not wait: copies, and what becomes of mail. */
#ifndef QUEUE_HASTE_H
#define QUEUE_HASTE_H

#include "common/attrs.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HASTE_SLACK = 4,
    HASTE_MOST = 4,
    HASTE_HOLD = 6,
    HASTE_BOUND = HASTE_SLACK + HASTE_HOLD + 2,
    HASTE_PAUSE_MS = 20,            /* between portions */
    HASTE_PORTION_LEAST = 64 << 10, /* bytes, however busy others are */
    HASTE_PORTION_MOST = 1 << 20,
};

/* How many segments there are too many of `bytes`; a part counts as one. 0: none. */
uint64_t haste_excess(uint64_t bytes, uint64_t live_bytes, uint64_t segment_bytes) MUST_USE;
/* Bytes that may be moved at once, when others have written `fresh` since the last time. */
uint64_t haste_portion(uint64_t excess, uint64_t fresh) MUST_USE;
uint64_t haste_pause_ms(uint64_t excess) MUST_USE;
/* How long a segment is left alone after it was full: what came just now mostly goes by itself.
 * When there is too much nevertheless, it does not. */
uint64_t haste_rest_ms(uint64_t excess, uint64_t rest_ms, uint64_t live_bytes,
                       uint64_t bytes) MUST_USE;

#endif
