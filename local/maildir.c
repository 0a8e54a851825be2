#include "local/maildir.h"

#include "local/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_existing(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The sub-folder, made if it is missing; a descriptor or a negative errno. */
static int open_folder(int parent, struct view name)
{
    char room[NAME_MAX + 1];
    int fd;

    if (name.len > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(room, name.ptr, name.len);
    room[name.len] = '\0';
    fd = open_existing(parent, room);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(parent, room, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (fsync(parent) < 0)
        return -errno;
    return open_existing(parent, room);
}

/* The Maildir itself: a descriptor or a negative errno. */
static int open_top(int root_fd, struct view folder)
{
    struct view name;
    int fd = -EINVAL;

    for (int parent = root_fd; mailbox_take_name(&folder, &name); parent = fd) {
        fd = open_folder(parent, name);
        if (parent != root_fd)
            close(parent);
        if (fd < 0)
            break;
    }
    return fd;
}

int maildir_open(struct maildir *box, int root_fd, struct view folder)
{
    int cur_fd = -1;
    int err = 0;
    int top = open_top(root_fd, folder);

    *box = (struct maildir){ -1, -1 };
    if (top < 0)
        return top;
    if ((cur_fd = open_folder(top, VIEW("cur"))) < 0)
        err = cur_fd;
    else if ((box->tmp_fd = open_folder(top, VIEW("tmp"))) < 0)
        err = box->tmp_fd;
    else if ((box->new_fd = open_folder(top, VIEW("new"))) < 0)
        err = box->new_fd;
    if (cur_fd >= 0)
        close(cur_fd);
    if (err < 0)
        maildir_close(box);
    close(top);
    return err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void maildir_close(struct maildir *box)
{
    close_fd(&box->tmp_fd);
    close_fd(&box->new_fd);
}

int maildir_create(struct maildir_file *f, const struct maildir *box, const struct maildir_id *id)
{
    struct view host = view_sub(id->hostname, 0, MAILDIR_HOST_MAX);
    unsigned long long seconds = id->arrival_ms / 1000;

    f->box = box;
    f->arrival_ms = id->arrival_ms;
    f->bytes = f->lines = 0;
    f->used = 0;
    f->cr = false;
    snprintf(f->name, sizeof(f->name), "%llu.M%06uT%016llxR%u.%.*s", seconds,
             (unsigned)(id->arrival_ms % 1000 * 1000), (unsigned long long)id->message, id->rcpt,
             VIEW_ARG(host));
    /* What a crash left behind may be linked in new/ already: it must not be written to. */
    if (unlinkat(box->tmp_fd, f->name, 0) < 0 && errno != ENOENT)
        return -errno;
    f->fd =
        openat(box->tmp_fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return f->fd < 0 ? -errno : 0;
}

static int flush(struct maildir_file *f)
{
    size_t done = 0;

    while (done < f->used) {
        ssize_t n = write(f->fd, f->room + done, f->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    f->bytes += f->used;
    f->used = 0;
    return 0;
}

static int put(struct maildir_file *f, struct view bytes)
{
    while (bytes.len > 0) {
        size_t count = MIN(bytes.len, sizeof(f->room) - f->used);

        memcpy(f->room + f->used, bytes.ptr, count);
        f->used += count;
        bytes = view_from(bytes, count);
        if (f->used == sizeof(f->room)) {
            int err = flush(f);

            if (err < 0)
                return err;
        }
    }
    return 0;
}

/* Passes a CR that was held back, unless the LF that makes it a line end follows. */
static int put_held_cr(struct maildir_file *f, struct view next)
{
    if (!f->cr)
        return 0;
    f->cr = false;
    return next.len > 0 && next.ptr[0] == '\n' ? 0 : put(f, VIEW("\r"));
}

int maildir_write(struct maildir_file *f, struct view piece)
{
    int err = 0;

    while (piece.len > 0 && err == 0) {
        size_t end = view_find(piece, '\n');
        struct view line = view_sub(piece, 0, end);
        bool ended = end < piece.len;

        err = put_held_cr(f, piece);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
            f->cr = !ended;
        }
        if (err == 0)
            err = put(f, line);
        if (err == 0 && ended) {
            err = put(f, VIEW("\n"));
            f->lines++;
        }
        piece = view_from(piece, end + ended);
    }
    return err;
}

static int make_durable(const struct maildir_file *f)
{
    const struct timespec arrival = { .tv_sec = (time_t)(f->arrival_ms / 1000),
                                      .tv_nsec = (long)(f->arrival_ms % 1000 * 1000000) };
    const struct timespec times[] = { arrival, arrival };

    if (futimens(f->fd, times) < 0 || fsync(f->fd) < 0)
        return -errno;
    return 0;
}

/* The sizes save mail programs from opening the file: S as it is, W with CRLF. */
static int link_to_new(const struct maildir_file *f)
{
    char name[NAME_MAX + 1];
    int len = snprintf(name, sizeof(name), "%s,S=%llu,W=%llu", f->name,
                       (unsigned long long)f->bytes, (unsigned long long)(f->bytes + f->lines));

    if (len < 0 || (size_t)len >= sizeof(name))
        return -ENAMETOOLONG;
    if (linkat(f->box->tmp_fd, f->name, f->box->new_fd, name, 0) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int maildir_publish(struct maildir_file *f)
{
    int err = put_held_cr(f, VIEW_EMPTY);

    if (err == 0)
        err = flush(f);
    if (err == 0)
        err = make_durable(f);
    if (err == 0)
        err = link_to_new(f);
    maildir_discard(f);
    return err;
}

void maildir_discard(struct maildir_file *f)
{
    close_fd(&f->fd);
    unlinkat(f->box->tmp_fd, f->name, 0);
}

int maildir_sync(const struct maildir *box)
{
    return fsync(box->new_fd) < 0 ? -errno : 0;
}
