/* A job of the queue: one message into the mailbox of each of its recipients. Files are written as
 * the job comes; folders are made durable once for all jobs of a turn, and only then the results go
 * out. Blocks while the disk does: this process does nothing else. */
#ifndef LOCAL_DELIVER_H
#define LOCAL_DELIVER_H

#include "common/list.h"
#include "ipc/messages.h"
#include "ipc/settings.h"
#include "local/maildir.h"
#include "mail/outcome.h"

struct deliver {
    const struct settings *settings;
    int root_fd;         /* maildir.root, open */
    struct list boxes;   /* private: mailboxes opened since the last deliver_finish */
    struct list results; /* private: what waits for their sync */
    /* Called by deliver_finish for each recipient; `last` ends the job. */
    void (*report)(struct deliver *d, const struct message_rcpt_result *result, bool last);
    struct maildir_file file; /* private: the one being written */
};

void deliver_init(struct deliver *d, const struct settings *s, int root_fd);

/* Everything of the job but its durability and its results. `fd` is the body if job->big, and the
 * caller's to close. False: the job makes no sense. */
bool deliver_job(struct deliver *d, const struct message_job_start *job, int fd) MUST_USE;

void deliver_finish(struct deliver *d);

#endif
