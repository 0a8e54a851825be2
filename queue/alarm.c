#include "queue/alarm.h"

#include "queue/pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void put_alarm(struct buf *out, const char *name, struct view what, const char *advice)
{
    begin_element(out);
    put_view(out, "alarm", view_of(name));
    put_view(out, "what", what);
    put_view(out, "do", view_of(advice));
    buf_put_byte(out, '}');
}

static void put_trouble(enum spool_trouble trouble, int write_error, struct buf *out)
{
    if (trouble == SPOOL_SUSPENDED && write_error == EROFS)
        put_alarm(
            out, "spool_suspended",
            VIEW("the file system of the spool is read-only: new mail is refused (421)"),
            "the kernel's log says what made it so; mend that, then mount -o remount,rw; mail is "
            "taken again as soon as writing works");
    else if (trouble == SPOOL_SUSPENDED)
        put_alarm(
            out, "spool_suspended",
            VIEW("writing to the spool fails again and again: new mail is refused (421)"),
            "look at the disk and at the kernel's log; mail is taken again as soon as writing "
            "works");
    else if (trouble == SPOOL_FULL)
        put_alarm(out, "spool_full",
                  VIEW("there is too little room for the spool: new mail is refused for now (452)"),
                  "make room on its file system, delete mail that is held, or lower spool.reserve; "
                  "deliveries go on");
}

static void put_copies(int error, struct buf *out)
{
    char room[160];
    struct buf words = BUF_ON_ARRAY(room);

    if (error == 0)
        return;
    buf_printf(&words, "compaction cannot write its copies (%s), so the log grows: mail goes on",
               strerror(error));
    put_alarm(out, "compaction_paused", buf_view(&words),
              "look at the disk, and at spool_write_failed in the log; it is tried again twice a "
              "minute");
}

static void put_unread(const struct store_numbers *n, struct buf *out)
{
    char room[256];
    struct buf words = BUF_ON_ARRAY(room);
    const char *reason = n->unread_error == 0 ? "it can be read again" : strerror(n->unread_error);

    if (n->unread == 0)
        return;
    buf_printf(&words,
               "%" PRIu64 " files of the spool cannot be read or written as they should: log/%s at "
               "byte %" PRIu64 " (%s); mail in them waits, and %" PRIu64
               " MiB are kept for their sake",
               n->unread, n->unread_file, n->unread_offset, reason, n->kept_bytes >> 20);
    put_alarm(out, "segments_unreadable", buf_view(&words),
              "look at the owner of the file, at the disk and at the kernel's log; when all can be "
              "read again, the queue starts again by itself; tern(8) says at segment_unreadable "
              "what to do when the disk has lost something for good");
}

static void put_count(struct buf *out, const char *name, uint64_t count, const char *what,
                      const char *advice)
{
    char room[128];
    struct buf words = BUF_ON_ARRAY(room);

    if (count == 0)
        return;
    buf_printf(&words, "%" PRIu64 " %s", count, what);
    put_alarm(out, name, buf_view(&words), advice);
}

void alarm_write(const struct store_numbers *n, uint64_t surplus, uint64_t unread, struct buf *out)
{
    put_key(out, "alarms");
    buf_put_byte(out, '[');
    put_trouble(n->trouble, n->write_error, out);
    put_copies(n->copies_error, out);
    put_unread(n, out);
    put_count(
        out, "syncs_failed", n->syncs_failed, "writes to the spool failed since the start",
        "no mail that was acknowledged is lost; look at the disk, and at spool_write_failed in "
        "the log");
    put_count(
        out, "damaged", n->damaged, "damaged places were found in the spool since the start",
        "tern spool check says where, copies are in bad/ of the spool; messages that cannot be "
        "read are held: tern queue list --state held");
    put_count(
        out, "unreadable", unread, "messages cannot be read from the spool, again and again",
        "they are tried again by themselves; message_unreadable in the log names them: look at the "
        "disk and at the kernel's log");
    put_count(out, "surplus", surplus,
              "messages are held, since a login sends more than its rates allow",
              "somebody may know its password: tern queue list --state held shows them, tern queue "
              "release sends and tern queue delete drops them; a new password: tern user passwd");
    buf_put_byte(out, ']');
}
