/* Between the files of "tern explain". */
#ifndef TOOLS_EXPLAIN_H
#define TOOLS_EXPLAIN_H

#include "ipc/rules.h"
#include "ipc/settings.h"
#include "tools/steps.h"

/* What is asked about, and what becomes of it. */
struct question {
    struct config *config;
    const struct settings *settings;
    struct steps steps;
    const struct listener_settings *listener;
    struct address from, to;
    struct net_address client; /* no family: not said */
    struct rule_facts facts;
    unsigned known;           /* for rules_match */
    struct envelope envelope; /* for routes */
    char tags[1024];
    bool trusted, uncertain;
    bool live;         /* the queue is asked, too */
    struct ways *ways; /* NULL: nothing was looked up yet */
};

/* Where mail for one address goes. */
void explain_delivery(struct question *q, const struct address *a);
/* Which hosts and addresses the mail would be taken to, and within which limits. */
void explain_way(struct question *q, const struct hop *hop);
/* What the running queue knows of the way there: of mail that waits, and of the destination of that
 * name. */
void explain_live(struct question *q, const struct address *a, struct view destination);
/* A message of the queue, by its id; an exit status. */
int explain_message(struct question *q, struct view id);

#endif
