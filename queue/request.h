/* What the admin tool asks for: a line of words (queue/control.h). Pure. */
#ifndef QUEUE_REQUEST_H
#define QUEUE_REQUEST_H

#include "queue/import.h"
#include "queue/row.h"

enum verb {
    VERB_STATUS,
    VERB_LIST,
    VERB_SHOW,
    VERB_TRACE,
    VERB_GET,
    VERB_PUT,
    VERB_RETRY,
    VERB_HOLD,
    VERB_RELEASE,
    VERB_DELETE,
    VERB_UNDELETE,
    VERB_DESTINATIONS,
    VERB_OPEN,
    VERB_CLOSE
};

/* Which messages; empty views and zero counts ask for nothing. */
struct filter {
    uint64_t *ids;
    size_t id_count;
    bool by_sender, by_rcpt, by_domain, by_state, by_word, any;
    struct view sender, rcpt, domain;
    struct view name; /* of a destination */
    struct view word; /* of a trace: an id, an address, a Message-ID */
    enum mail_state state;
};

struct request { /* zeroed is none */
    enum verb verb;
    struct filter filter;
    struct import_plan plan; /* of VERB_PUT, but for `who` */
    char *text;              /* heap; the values of `filter` point into it */
};

/* Of who asks. */
struct request_rights {
    bool may_change;
    bool offline; /* nothing runs; he can read the spool */
};

/* NULL: the request is understood and allowed; else what is wrong with it, for people. Then too it
 * has to be released. */
const char *request_read(struct request *r, struct view line,
                         const struct request_rights *rights) MUST_USE;
void request_release(struct request *r);

bool request_changes(const struct request *r);
/* Not about messages. */
bool request_is_about_sites(const struct request *r);

#endif
