/* A Maildir: a message is written to tmp/, made durable, and linked into new/. Nothing else in it
 * is touched but what is missing: cur/, and whatever mail programs keep beside it, is theirs. */
#ifndef LOCAL_MAILDIR_H
#define LOCAL_MAILDIR_H

#include "common/attrs.h"
#include "common/view.h"

#include <limits.h>

enum {
    MAILDIR_ROOM = 65536,   /* bytes written at once */
    MAILDIR_HOST_MAX = 150, /* bytes of the host name in a file's name, which has NAME_MAX */
};

struct maildir {
    int tmp_fd, new_fd;
};

/* Opens the Maildir `folder` below `root_fd`, name by name and following no link. Makes what is
 * missing, mode 0700. 0 or a negative errno. */
int maildir_open(struct maildir *box, int root_fd, struct view folder) MUST_USE;
void maildir_close(struct maildir *box);

/* What a file's name is made of: facts of the job alone, so that the same delivery, repeated after
 * a crash, finds the name taken and is done. */
struct maildir_id {
    uint64_t arrival_ms; /* wall clock */
    uint64_t message;
    uint32_t rcpt;
    struct view hostname;
};

struct maildir_file {
    const struct maildir *box;
    int fd;
    uint64_t arrival_ms;
    char name[NAME_MAX + 1]; /* in tmp/; in new/ the sizes follow */
    uint64_t bytes, lines;   /* in the file */
    bool cr;                 /* held back: a CR that may belong to a CRLF */
    size_t used;
    char room[MAILDIR_ROOM];
};

/* Begins a message. After 0 it must be published or discarded. */
int maildir_create(struct maildir_file *f, const struct maildir *box,
                   const struct maildir_id *id) MUST_USE;
/* A piece of content with CRLF line ends; the file has LF. */
int maildir_write(struct maildir_file *f, struct view piece) MUST_USE;
/* Makes the file durable and visible; the name becomes durable with maildir_sync. Already being in
 * new/ from an earlier attempt is success too. (An earlier delivery that was seen by
 * a mail program has moved on to cur/, and is not found: then there will be two.) Ends the file. */
int maildir_publish(struct maildir_file *f) MUST_USE;
void maildir_discard(struct maildir_file *f);

/* Makes all names published so far durable. After a negative errno all deliveries since the last
 * sync must be counted as not made. */
int maildir_sync(const struct maildir *box) MUST_USE;

#endif
