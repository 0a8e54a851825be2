/* What a command printed, as a token. */
#ifndef TOKENS_TOKEN_H
#define TOKENS_TOKEN_H

#include "common/attrs.h"
#include "common/buf.h"

/* The answer of a token endpoint (RFC 6749, 5.1: a JSON object with access_token and perhaps
 * expires_in), or one line that is the token itself. False: neither; `token` is empty then.
 * *lifetime_s is 0 when it is not said. */
bool token_read(struct view output, struct buf *token, uint64_t *lifetime_s) MUST_USE;

#endif
