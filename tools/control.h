/* The other end of the control socket: requests as lines of words, answers as JSON lines. Speaks to
 * the running queue, or, when nothing runs, to a queue process that opens the spool for reading
 * only. */
#ifndef TOOLS_CONTROL_H
#define TOOLS_CONTROL_H

#include "common/buf.h"
#include "common/error.h"
#include "io/json.h"
#include "ipc/settings.h"

#include <limits.h>
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

/* The executable of a role: where the build leaves it, or where it was installed. */
void control_find_role(const char *role, char path[PATH_MAX]);
/* Becomes the queue's program with these words (argv[0] is set; NULL at the end). Returns only when
 * that fails: the negative errno. */
int control_become_queue(char **argv);

/* Adds " key=value" to a request, the value escaped as the queue wants it. */
bool control_put(struct buf *request, const char *key, struct view value) MUST_USE;
/* What is done with an answer. */
struct control_listener {
    /* Each object but the last; what is not 0 ends the conversation, as its exit status. */
    int (*hear)(void *of, const struct json_node *n);
    void *of;
    bool as_it_is; /* the lines are printed, and nobody hears them: there may be millions */
};

/* Sends one request line (without its LF), and listens to its answer. 0 and, unless that is NULL,
 * how many the queue counted; or an exit status, after telling why. */
int control_converse(struct control *c, struct view request, const struct control_listener *to,
                     unsigned long long *matched) MUST_USE;
/* The same with a connection of its own. */
int control_call(const struct settings *s, struct view request, const struct control_listener *to,
                 unsigned long long *matched) MUST_USE;
/* The queue has stopped to speak; EXIT_TROUBLE, after telling so. */
int control_tell_end(const struct control *c);

/* The next line of the answer, valid until the next call; false when the connection ended. */
bool control_read(struct control *c, struct view *line) MUST_USE;
/* After a line: some of the bytes that follow it, at most `most`; likewise. */
bool control_read_bytes(struct control *c, uint64_t most, struct view *bytes) MUST_USE;
/* A request line with its LF, or, when it was answered so, the bytes that it announced. */
bool control_write(struct control *c, struct view bytes) MUST_USE;

#endif
