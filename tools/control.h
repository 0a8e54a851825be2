/* The other end of the control socket: requests as lines of words, answers as JSON lines. Speaks to
 * the running queue, or, when nothing runs, to a queue process that opens the spool for reading
 * only. */
#ifndef TOOLS_CONTROL_H
#define TOOLS_CONTROL_H

#include "common/buf.h"
#include "common/error.h"
#include "io/json.h"
#include "ipc/settings.h"

#include <sys/types.h>

struct control {
    int fd;
    pid_t offline; /* the process that reads the spool; 0: the running queue answers */
    struct buf input;
    size_t used; /* bytes of it that the line given last takes */
};

/* The running queue alone. */
int control_reach(struct control *c, const struct settings *s, struct error *err) MUST_USE;
/* -ECONNREFUSED etc. and words otherwise. */
int control_open(struct control *c, const struct settings *s, struct error *err) MUST_USE;
void control_close(struct control *c);

/* Becomes the queue's program with these words (argv[0] is set; NULL at the end). Returns only when
 * that fails: the negative errno. */
int control_become_queue(char **argv);

/* Adds " key=value" to a request, the value escaped as the queue wants it. */
bool control_put(struct buf *request, const char *key, struct view value) MUST_USE;
/* Sends one request line (without its LF). */
int control_ask(struct control *c, struct view request, struct error *err) MUST_USE;
/* The next line of the answer, valid until the next call; false when the connection ended. */
bool control_read(struct control *c, struct view *line) MUST_USE;
/* After a line: some of the bytes that follow it, at most `most`; likewise. */
bool control_read_bytes(struct control *c, uint64_t most, struct view *bytes) MUST_USE;
/* After a request that was answered so: the bytes that it announced. */
bool control_write(struct control *c, struct view bytes) MUST_USE;

#endif
