/* tern queue import: messages from files as tern queue export writes them, NAME.eml and
 * NAME.envelope. What is in the queue is renamed to NAME.imported, so that a second run goes on
 * where the first one ended. */
#include "common/crc32c.h"
#include "common/memory.h"
#include "mail/fields.h"
#include "tools/commands.h"
#include "tools/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENVELOPE_MAX = 1 << 20, /* bytes */
    ARENA_MAX = 1 << 20,
};

static const char ending[] = ".envelope";

struct import {
    struct control control;
    const char *folder_name;
    int folder;
    struct buf envelope;
    struct view file;    /* the .eml */
    uint64_t body_bytes; /* with CRLF at every line end */
    uint32_t crc;
    bool eight_bit, held;
    unsigned long long done, failed;
    bool over; /* it makes no sense to go on */
};

static bool fail(struct import *m, const char *stem, const char *why)
{
    m->failed++;
    trouble("%s/%s: %s", m->folder_name, stem, why);
    return false;
}

/* ---- the content ---- */

/* The next piece of the content as it is sent, where every line ends in CRLF. */
static bool next_piece(struct view *rest, struct view *piece)
{
    size_t end = view_find(*rest, '\n');
    bool whole = end > 0 && end < rest->len && rest->ptr[end - 1] == '\r';

    if (rest->len == 0)
        return false;
    if (whole) {
        *piece = view_sub(*rest, 0, end + 1);
        *rest = view_from(*rest, end + 1);
    } else if (end > 0) {
        *piece = view_sub(*rest, 0, end);
        *rest = end < rest->len ? view_from(*rest, end) : VIEW("\n");
    } else {
        *piece = VIEW("\r\n");
        *rest = view_from(*rest, 1);
    }
    return true;
}

/* What may not be in a message: NULL, or words. */
static const char *measure(struct import *m)
{
    struct view rest = m->file, piece;

    m->body_bytes = m->crc = 0;
    m->eight_bit = false;
    while (next_piece(&rest, &piece)) {
        for (size_t i = 0; i < piece.len; i++) {
            if (piece.ptr[i] == '\0')
                return "the message has a NUL in it";
            if (piece.ptr[i] == '\r' && (i + 2 != piece.len || piece.ptr[i + 1] != '\n'))
                return "the message has a CR that ends no line";
            m->eight_bit = m->eight_bit || (unsigned char)piece.ptr[i] > 127;
        }
        m->crc = crc32c(m->crc, piece);
        m->body_bytes += piece.len;
    }
    return m->body_bytes == 0 ? "the message is empty" : NULL;
}

/* Small pieces are gathered, so that a line is not a call. */
static bool send_content(struct import *m)
{
    static char room[65536];
    struct buf out = BUF_ON_ARRAY(room);
    struct view rest = m->file, piece;

    while (next_piece(&rest, &piece)) {
        if (buf_put(&out, piece))
            continue;
        if (!control_write(&m->control, buf_view(&out)))
            return false;
        buf_clear(&out);
        if (!buf_put(&out, piece) && !control_write(&m->control, piece))
            return false;
    }
    return control_write(&m->control, buf_view(&out));
}

/* ---- the envelope ---- */

static bool scan_envelope(struct import *m)
{
    struct view rest = buf_view(&m->envelope), key, value;
    enum fields_result result;
    bool marked = false;
    struct arena arena;

    m->held = false;
    arena_init(&arena, ARENA_MAX);
    while ((result = fields_take(&rest, &arena, &key, &value)) == FIELDS_NEXT) {
        m->held = m->held || (view_equal(key, VIEW("held")) && view_equal(value, VIEW("yes")));
        marked = marked || view_equal(key, VIEW("body"));
    }
    arena_reset(&arena);
    if (result == FIELDS_END && m->eight_bit && !marked)
        return buf_put(&m->envelope, VIEW("body=8bit\n"));
    return result == FIELDS_END;
}

static bool read_envelope(struct import *m, const char *name)
{
    int fd = openat(m->folder, name, O_RDONLY | O_CLOEXEC);
    size_t room;
    ssize_t n = 0;

    buf_clear(&m->envelope);
    while (fd >= 0) {
        char *tail = buf_tail(&m->envelope, &room);

        n = room > 0 ? read(fd, tail, room) : 0;
        if (n <= 0)
            break;
        buf_extend(&m->envelope, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    return fd >= 0 && n == 0;
}

/* ---- files ---- */

static bool map_body(struct import *m, const char *stem)
{
    char name[NAME_MAX + 16];
    int fd;
    struct stat facts;
    void *bytes = MAP_FAILED;

    m->file = VIEW_EMPTY;
    snprintf(name, sizeof(name), "%s.eml", stem);
    fd = openat(m->folder, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0)
        bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (bytes == MAP_FAILED)
        return false;
    m->file = view_make(bytes, (size_t)facts.st_size);
    return true;
}

static void unmap_body(struct import *m)
{
    munmap((void *)(uintptr_t)m->file.ptr, m->file.len);
}

static void mark_imported(struct import *m, const char *stem)
{
    char from[NAME_MAX + 16], to[NAME_MAX + 16];

    snprintf(from, sizeof(from), "%s%s", stem, ending);
    snprintf(to, sizeof(to), "%s.imported", stem);
    if (renameat(m->folder, from, m->folder, to) < 0 || fsync(m->folder) < 0)
        fail(m, stem, "is in the queue now, but its files cannot be marked as imported");
}

/* ---- the conversation ---- */

/* The next line of the answer has this key. */
static bool hear(struct import *m, const char *stem, const char *key, char *value, size_t size)
{
    struct view line;
    struct json *j;
    bool there;

    if (!control_read(&m->control, &line)) {
        m->over = true;
        return fail(m, stem, "the queue ended the conversation");
    }
    j = json_parse(line);
    there = json_get(json_root(j), key) != NULL;
    if (there) {
        snprintf(value, size, "%.*s", VIEW_ARG(json_text(json_get(json_root(j), key))));
    } else {
        char why[256];

        snprintf(why, sizeof(why), "%.*s", VIEW_ARG(json_text(json_get(json_root(j), "error"))));
        fail(m, stem, why);
    }
    json_free(&j);
    return there;
}

static bool ask(struct import *m, const char *stem)
{
    char line[128];

    snprintf(line, sizeof(line), "put envelope=%zu size=%llu crc=%08x hold=%d\n",
             buf_len(&m->envelope), (unsigned long long)m->body_bytes, m->crc, m->held);
    if (control_write(&m->control, view_of(line)))
        return true;
    m->over = true;
    return fail(m, stem, "the queue ended the conversation");
}

/* Marked as soon as the queue has it: whatever happens then, another run must not bring it again.
 */
static void hand_over(struct import *m, const char *stem)
{
    char id[64], end[64];

    if (!ask(m, stem))
        return;
    if (!hear(m, stem, "ready", id, sizeof(id))) {
        m->over = true; /* what refuses one refuses the others */
        return;
    }
    if (!control_write(&m->control, buf_view(&m->envelope)) || !send_content(m)) {
        m->over = true;
        fail(m, stem, "the queue ended the conversation");
        return;
    }
    if (!hear(m, stem, "id", id, sizeof(id)))
        return;
    m->done++;
    mark_imported(m, stem);
    printf("%s  %s\n", stem, id);
    (void)hear(m, stem, "end", end, sizeof(end));
}

static void import_one(struct import *m, const char *name)
{
    char stem[NAME_MAX + 1];
    const char *wrong;

    snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(name) - strlen(ending)), name);
    if (!read_envelope(m, name)) {
        fail(m, stem, "its envelope cannot be read");
        return;
    }
    if (!map_body(m, stem)) {
        fail(m, stem, "there is no message with this envelope");
        return;
    }
    wrong = measure(m);
    if (wrong == NULL && !scan_envelope(m))
        wrong = "its envelope is malformed";
    if (wrong != NULL)
        fail(m, stem, wrong);
    else
        hand_over(m, stem);
    unmap_body(m);
}

/* ---- the folder ---- */

static int is_envelope(const struct dirent *d)
{
    return view_ends_nocase(view_of(d->d_name), view_of(ending)) && d->d_name[0] != '.';
}

static int import_all(struct import *m)
{
    struct dirent **names;
    int count = scandirat(m->folder, ".", &names, is_envelope, alphasort);

    if (count < 0)
        return trouble("cannot read the folder %s: %s", m->folder_name, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (!m->over)
            import_one(m, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    printf("import: %llu message%s\n", m->done, m->done == 1 ? "" : "s");
    if (m->failed > 0)
        return EXIT_TROUBLE;
    return m->done > 0 ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

int command_import(const struct invocation *in)
{
    struct import m = { .over = false };
    struct error why;
    int status;

    if (in->argc != 2 || in->argv[1][0] == '-')
        return wrong_use("import takes one folder");
    m.folder_name = in->argv[1];
    m.folder = open(m.folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m.folder < 0)
        return trouble("cannot open the folder %s: %s", m.folder_name, strerror(errno));
    signal(SIGPIPE, SIG_IGN); /* what is in the queue is marked so, though nobody reads the ids */
    if (control_open(&m.control, in->settings, &why) == 0) {
        buf_new(&m.envelope, ENVELOPE_MAX);
        status = import_all(&m);
        buf_free(&m.envelope);
        control_close(&m.control);
    } else {
        status = trouble("%s", why.text);
    }
    close(m.folder);
    return status;
}
