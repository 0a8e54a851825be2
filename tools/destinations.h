/* What the queue tells of a destination, one line of its answer (queue/siterow.h), in words. */
#ifndef TOOLS_DESTINATIONS_H
#define TOOLS_DESTINATIONS_H

#include "common/buf.h"
#include "io/json.h"

void destination_print_breaker(const struct json_node *n, struct buf *out);
void destination_print_limits(const struct json_node *n, struct buf *out);
void destination_print_mail(const struct json_node *n, struct buf *out);
void destination_print_past(const struct json_node *n, struct buf *out); /* nothing: no past */
void destination_print_tls(const struct json_node *n, struct buf *out);  /* one of "tls_missed" */

#endif
