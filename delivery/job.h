/* A job: one message for recipients of one next hop, one transaction. What became of each goes to
 * the queue as soon as it is known; the end of the job follows the last. */
#ifndef DELIVERY_JOB_H
#define DELIVERY_JOB_H

#include "common/list.h"
#include "common/table.h"
#include "delivery/client.h"
#include "ipc/peer.h"
#include "mail/body.h"

struct conn;
struct destination;

enum { JOB_PIECE_BYTES = 65536 }; /* of a large body, read at once */

/* Where the front parts of a body wait for the JOB_START that brings the rest. */
struct job_body {
    struct table_entry entry; /* by job id */
    char *bytes;
    size_t len;
};

struct job {
    struct table_entry entry;        /* by id */
    struct list link;                /* of those that wait for a connection */
    struct destination *destination; /* where it waits */
    struct conn *conn;               /* that works on it; NULL: it waits */
    struct peer *queue;              /* NULL: nobody wants to hear of it any more */
    uint64_t started_ms;             /* monotonic */
    bool begun;                      /* in a transaction, at least */
    bool logged_in_again;            /* tried with another token than the first */
    struct message_job_start start;  /* views borrow from `packet` */
    struct arena arena;              /* of the envelope */
    struct envelope envelope;
    const uint32_t *indexes;       /* of its recipients, in the whole envelope */
    struct client_message message; /* for the engine: those of a transaction */
    uint32_t *batch;               /* its recipients */
    bool *decided;
    bool *later; /* of the batch: too many for this transaction */
    size_t later_count;
    size_t undecided;
    struct view host; /* to look up, as name servers know it; heap */
    char *packet;
    /* Reading the content. */
    char *front; /* of a body that came in parts */
    size_t front_len;
    int fd;     /* -1: the body is in memory */
    char *room; /* JOB_PIECE_BYTES, while a file is read */
    uint64_t read_bytes;
    uint32_t crc;
    bool unreadable; /* the file could not be read, just now */
    bool line_open;  /* the content so far ends within a line */
    struct body_sender sender;
    struct view unread, unsent;
};

/* From the fields of a JOB_START, which are copied, and the parts that came before (NULL: none;
 * taken over and freed). `fd` is -1 or becomes the job's. NULL: nonsense; `fd` and parts are gone
 * all the same. */
struct job *job_new(struct view fields, struct job_body *parts, int fd) MUST_USE;
void job_free(struct job **j);
void job_body_free(struct job_body **b);

enum job_content { JOB_CONTENT_MORE, JOB_CONTENT_DONE, JOB_CONTENT_DAMAGED };

void job_rewind(struct job *j); /* to the beginning of the content */
/* Puts as much of the content as fits, with dots stuffed, and at its end the final dot. DAMAGED:
 * it is not what the queue took in; the dot is not there and must never be sent. */
enum job_content job_put_content(struct job *j, struct buf *out) MUST_USE;
/* The same as it is, start.body_bytes of it. DAMAGED: the last of them are not there. */
enum job_content job_put_chunk(struct job *j, struct buf *out) MUST_USE;
/* What all of them hear after DAMAGED. */
const struct outcome *job_damage(const struct job *j);

enum { JOB_DOMAINS_MAX = 16 }; /* of a connection whose host limits them, whatever it allows */

/* Those of the recipients that a host has heard of; zeroed: none. */
struct job_domains {
    uint64_t hashes[JOB_DOMAINS_MAX];
    size_t count;
};

enum job_fit {
    JOB_FITS,
    JOB_NEEDS_SESSION, /* what is left is for domains that the host takes in another session */
    JOB_NEEDS_HOST,    /* the host cannot take any of it, and *why tells what is in the way */
};

/* Makes j->message of what is not decided yet, as far as the host, which offers `ext`, takes at
 * once in a session that has heard of `domains`, to which its own are added. Recipients that it
 * cannot take stay, for another host. */
enum job_fit job_prepare(struct job *j, const struct ext *ext, struct job_domains *domains,
                         struct outcome *why) MUST_USE;

/* Tells the queue; the job is over when none is undecided. `rcpt` is a number in j->envelope. */
void job_decide(struct job *j, size_t rcpt, const struct outcome *o, uint64_t now_ms);
/* What becomes of this transaction says nothing of it: it is to come in the next one. */
void job_put_off(struct job *j, size_t rcpt);
/* What is not decided of j->message; there may be more in the job, for the next transaction. */
void job_decide_message(struct job *j, const struct outcome *o, uint64_t now_ms);
void job_decide_rest(struct job *j, const struct outcome *o, uint64_t now_ms);
bool job_is_untouched(const struct job *j); /* nothing is decided yet */
/* It goes to a host in a transaction, as job_prepare has made it: the queue, which knows of one, is
 * told of every other. */
void job_begin_transaction(struct job *j);
void job_end(struct job *j); /* JOB_END */

#endif
