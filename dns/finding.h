/* What is told of a finding, and how long it may be kept. */
#ifndef DNS_FINDING_H
#define DNS_FINDING_H

#include "common/buf.h"
#include "ipc/messages.h"
#include "ipc/settings.h"

enum {
    FINDING_WORDS_MAX = 400,   /* bytes: a name and a sentence */
    FINDING_FAILURE_MS = 2000, /* how long trouble is remembered */
};

/* Why there is no answer, for people; nothing for DNS_OK. `failure`: what went wrong, or NULL. */
void finding_explain(enum dns_result result, enum dns_question kind, struct view name,
                     const char *failure, struct buf *words);
/* In ms; `ttl_s` is what the name servers allow. */
uint64_t finding_limit_ttl(enum dns_result result, uint32_t ttl_s, const struct dns_settings *s);

#endif
