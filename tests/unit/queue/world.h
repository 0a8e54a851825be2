/* A queue with fakes around it: a store in memory, an smtpd, workers, an administrator, and a clock
 * that stands still. */
#ifndef TESTS_UNIT_QUEUE_WORLD_H
#define TESTS_UNIT_QUEUE_WORLD_H

#include "ipc/peer.h"
#include "mail/outcome.h"
#include "queue/queue.h"
#include "tests/unit/queue/memory_store.h"

enum { WORLD_JOBS_MAX = 64, WORLD_RCPTS_MAX = 1000 };

/* A job as a worker got it. */
struct world_job {
    struct world_worker *worker;
    struct message_job_start start;
    char *memory; /* what the views of `start` point into */
    char *body;
    size_t body_len;
    int big_fd;
    struct arena arena; /* of the envelope */
    struct envelope envelope;
    const uint32_t *indexes; /* of its recipients */
    bool cancelled, ended;
};

struct world_worker {
    struct peer peer;
    bool gone;
    char *parts;
    size_t parts_len;
};

struct world {
    struct loop loop;
    struct queue queue;
    struct config *config;
    struct settings settings;
    struct envelope said;     /* of what comes next: RET, ENVID ... */
    const unsigned *notify;   /* and NOTIFY of each recipient; NULL: nothing */
    bool dsn;                 /* hosts offer DSN */
    bool final;               /* they are the mailboxes themselves */
    struct enhanced enhanced; /* what hosts say; class 0: something usual */
    const char *hold;         /* of what comes next: why it waits; NULL: it does not */
    struct peer smtpd;
    bool smtpd_gone;
    struct world_worker workers[8];
    unsigned worker_count;
    const char *mail_hosts; /* "domain hosts ...", what workers answer; NULL: nothing is known */
    uint32_t order;         /* likewise */
    unsigned asked;         /* how often they were asked */
    bool silent;            /* they do not answer */
    void (*on_asked)(struct view domain); /* NULL: nobody looks */
    /* Answers to smtpd, newest. */
    uint64_t committed, committed_transaction;
    uint64_t failed_transaction;
    enum spool_trouble failed_with;
    struct message_spool_state state;
    int opened_fd;
    /* In order of arrival. */
    struct world_job jobs[WORLD_JOBS_MAX];
    unsigned job_count;
};

extern struct world world;

int world_open(void **state);  /* set-up: one smtpd, worker 0 of delivery, worker 0 of local */
int world_close(void **state); /* tear-down; forgets the store */
void world_forget_jobs(void);  /* which have ended */
void world_restart(void);      /* the queue alone ends and begins again; new peers */
void world_restart_after(uint64_t ms); /* the same; time passes between */
void world_reload(const char *more);   /* settings with these lines besides */
void world_run(void);                  /* until nothing happens any more at this time */
void world_pass(uint64_t ms);          /* time */

/* Lines of recipients, blank-separated; the body is stored as it is. The id. */
uint64_t world_accept(const char *sender, const char *recipients, struct view body);
struct world_worker *world_add_worker(enum process kind, uint32_t index);
void world_lose_worker(struct world_worker *w);

/* The job number `n` of all; fails the test when there is none. */
struct world_job *world_job(unsigned n);
/* One recipient's result, by its place in the job, or all with UINT32_MAX. */
void world_result(struct world_job *j, uint32_t n, enum outcome_class class,
                  enum outcome_scope scope, unsigned code, const char *text);
void world_end(struct world_job *j);
/* All recipients, and the end. */
void world_answer(struct world_job *j, enum outcome_class class, enum outcome_scope scope,
                  unsigned code, const char *text);

/* What hosts say most: yes; not to this recipient now; nothing, since there is no connection. */
void world_deliver(struct world_job *j);
void world_defer(struct world_job *j);
void world_fault(struct world_job *j);
struct view world_job_body(const struct world_job *j);
bool world_body_has(const struct world_job *j, const char *text);

uint32_t world_count_mails(void);
uint32_t world_count_busy(void); /* destinations that have mail */

#endif
