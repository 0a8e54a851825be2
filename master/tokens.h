/* Tokens of routes whose auth-token-command gets them: asked of tern-tokens, kept, and got anew
 * before they expire and when a host does not believe them. */
#ifndef MASTER_TOKENS_H
#define MASTER_TOKENS_H

#include "common/error.h"
#include "io/loop.h"
#include "ipc/peer.h"
#include "master/generation.h"

enum {
    TOKENS_SOONER_MS = 5 * 60 * 1000,  /* before it expires, or half its life if that is shorter */
    TOKENS_FIRST_MS = 5 * 1000,        /* pause after a failure; doubles ... */
    TOKENS_LONGEST_MS = 5 * 60 * 1000, /* ... up to this */
    TOKENS_LATE_MS = 10 * 1000,        /* beyond the command's own time, for the answer */
    TOKENS_REFUSED_MS = 60 * 1000, /* one that was got since then for this reason is not got anew */
};

struct master;

struct tokens {
    struct master *master;
    struct peer runner;
    struct timer timer; /* the next that is due */
    uint64_t last_question;
    int fd;    /* until there is a loop */
    uid_t uid; /* of the commands; UINT32_MAX: our own */
};

/* Before the master locks itself in, since what a command does needs more than that leaves. Only
 * where the generation has such a command: without, nothing is started. */
int tokens_start(struct tokens *t, struct master *m, struct error *err) MUST_USE;
int tokens_open(struct tokens *t, struct loop *l) MUST_USE;
/* False: the generation has commands, and nobody to run them. */
bool tokens_can_serve(const struct tokens *t, const struct generation *g) MUST_USE;
/* Runs what is due, of all generations. */
void tokens_run(struct tokens *t);
/* A host has refused the token of that route; its delivery processes are granted one, or are told
 * that there is none, in any case. */
void tokens_refused(struct tokens *t, struct generation *g, uint32_t route);

#endif
