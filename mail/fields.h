/* "key=value" lines: how envelopes and outcomes stand in the spool and travel between processes.
 * Readable with grep; a value can forge nothing, since '%', control bytes and DEL
 * are written as %XX. Keys are made of a-z, 0-9, '-'. */
#ifndef MAIL_FIELDS_H
#define MAIL_FIELDS_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"

bool fields_put(struct buf *out, const char *key, struct view value);
bool fields_put_u64(struct buf *out, const char *key, uint64_t value);

enum fields_result { FIELDS_NEXT, FIELDS_END, FIELDS_MALFORMED };

/* The next line from the front of *rest. `value` is decoded: it borrows from *rest when nothing
 * was escaped, else it is a copy in `arena`. */
enum fields_result fields_take(struct view *rest, struct arena *arena, struct view *key,
                               struct view *value) MUST_USE;

#endif
