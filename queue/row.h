/* Messages and the queue's state as JSON, for the admin tool (queue/control.h). */
#ifndef QUEUE_ROW_H
#define QUEUE_ROW_H

#include "queue/content.h"
#include "queue/past.h"

enum mail_state {
    MAIL_READY,
    MAIL_ACTIVE,
    MAIL_DEFERRED,
    MAIL_WAITING,
    MAIL_IS_HELD,
    MAIL_IS_DELETED,
    MAIL_STATES
};

enum { ROW_MAX = 1000000 }; /* bytes of a row; recipients that do not fit are only counted */

const char *row_state_name(enum mail_state s);
enum mail_state row_state(const struct queue *q, uint32_t mail);
/* {"v":1,"id":...}, a line: open recipients with their last reply. `whole`: also the facts of
 * reception, and the recipients that are done. */
void row_write(struct queue *q, uint32_t mail, const struct envelope *e, bool whole,
               struct buf *out);
/* The same of one whose envelope cannot be read: `err`, a negative errno. */
void row_write_unread(const struct queue *q, uint32_t mail, int err, struct buf *out);
/* Recipients that are done, from the history: "state" is what became of them, "at" when. */
void row_write_past(const struct past *p, struct buf *out);
void row_write_status(struct queue *q, struct buf *out);

#endif
