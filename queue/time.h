/* The queue's clock (queue/schedule.h). Deadlines and attempts follow it, so that no jump of the
 * wall clock makes mail expire or wait. */
#ifndef QUEUE_TIME_H
#define QUEUE_TIME_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct queue;

enum {
    QUEUE_TICK_MS = 100,  /* of the wheel */
    QUEUE_STAMP_MAX = 64, /* bytes of a line of an envelope */
};

uint64_t queue_now_ms(const struct queue *q);
/* From now on until then; 0: it has come. */
uint64_t queue_until_ms(const struct queue *q, uint64_t at_ms);
/* A time of the queue's clock as the wall clock has it now, and back. */
uint64_t queue_wall_ms(const struct queue *q, uint64_t at_ms);
uint64_t queue_time_ms(const struct queue *q, uint64_t wall_ms);
/* What an envelope made now says as its accepted_ms. */
uint64_t queue_accepted_ms(const struct queue *q);
/* The encoded envelope with it: as it is, or in `room`, which has QUEUE_STAMP_MAX bytes more. */
struct view queue_stamp(const struct queue *q, struct view encoded, struct buf *room);
/* The tick that is over when `at_ms` has come. */
uint32_t queue_tick(const struct queue *q, uint64_t at_ms);
uint64_t queue_tick_ms(const struct queue *q, uint32_t tick);

/* The store is open: the clock goes on from what that knows. */
void time_begin(struct queue *q);
/* Writes it down. `ended`: the queue ends in good order. */
void time_note(struct queue *q, bool ended);
/* There is mail: writes it down again and again. */
void time_keep(struct queue *q);

#endif
