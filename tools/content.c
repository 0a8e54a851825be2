/* tern queue cat, tern queue export: the messages themselves (queue/parcel.h). */
#include "common/crc32c.h"
#include "common/memory.h"
#include "ipc/messages.h"
#include "tools/call.h"
#include "tools/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENVELOPE_MAX = 1 << 20, /* bytes */
    ID_LEN = 16,
    NAME_ROOM = 32, /* "00000001a200f3c0.envelope" */
};

/* What becomes of the messages. */
struct receiver {
    struct control control;
    int folder; /* -1: to standard output */
    struct buf envelope;
    unsigned long long received, failed;
    /* of the message that is coming */
    char id[ID_LEN + 1];
    bool held;
    uint64_t envelope_bytes, body_bytes;
    uint32_t crc;
};

static struct view field(const struct json_node *n, const char *key)
{
    return json_text(json_get(n, key));
}

static void fail(struct receiver *r, const char *why)
{
    r->failed++;
    trouble("%s: %s", r->id, why);
}

/* ---- bytes ---- */

/* No mail moves the cursor of a terminal. U+0080 to U+009F, C2 80 to C2 9F, are control characters
 * too; *last is the byte before these. */
static bool put_safe(FILE *out, struct view bytes, unsigned char *last)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char b = (unsigned char)bytes.ptr[i];
        bool blank = b == '\n' || b == '\t' || b == '\r';
        bool control = (b < ' ' && !blank) || b == 0x7f || (*last == 0xc2 && b < 0xa0);

        *last = b;
        if (putc(control ? '?' : b, out) == EOF)
            return false;
    }
    return true;
}

static bool read_envelope(struct receiver *r)
{
    uint64_t left = r->envelope_bytes;
    struct view bytes;

    buf_clear(&r->envelope);
    while (left > 0) {
        if (!control_read_bytes(&r->control, left, &bytes) || !buf_put(&r->envelope, bytes))
            return false;
        left -= bytes.len;
    }
    return true;
}

/* Takes the whole body from the queue, even if it cannot be written. NULL: it is whole, and
 * written; else why not. */
static const char *read_body(struct receiver *r, FILE *out)
{
    bool safe = isatty(fileno(out));
    bool written = true;
    unsigned char last = 0;
    uint64_t left = r->body_bytes;
    uint32_t crc = 0;
    struct view bytes;

    while (left > 0) {
        if (!control_read_bytes(&r->control, left, &bytes))
            return "the queue could not read it to its end";
        crc = crc32c(crc, bytes);
        if (written)
            written =
                safe ? put_safe(out, bytes, &last) : fwrite(bytes.ptr, bytes.len, 1, out) == 1;
        left -= bytes.len;
    }
    if (crc != r->crc)
        return "it is damaged: its checksum is wrong";
    return written && fflush(out) == 0 ? NULL : "it cannot be written";
}

static bool skip_body(struct receiver *r)
{
    uint64_t left = r->body_bytes;
    struct view bytes;

    for (; left > 0; left -= bytes.len) {
        if (!control_read_bytes(&r->control, left, &bytes))
            return false;
    }
    return true;
}

/* ---- files ---- */

static FILE *create(const struct receiver *r, const char *ending)
{
    char name[NAME_ROOM];
    int fd;
    FILE *out;

    snprintf(name, sizeof(name), "%s.%s", r->id, ending);
    fd = openat(r->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && out == NULL)
        close(fd);
    return out;
}

static bool close_durably(FILE *out)
{
    bool durable = fflush(out) == 0 && fsync(fileno(out)) == 0;

    return fclose(out) == 0 && durable;
}

static void remove_file(const struct receiver *r, const char *ending)
{
    char name[NAME_ROOM];

    snprintf(name, sizeof(name), "%s.%s", r->id, ending);
    unlinkat(r->folder, name, 0);
}

/* The envelope comes last: where it stands, the message is whole. */
static const char *write_envelope(const struct receiver *r)
{
    struct view text = buf_view(&r->envelope);
    FILE *out = create(r, "envelope");
    bool written;

    if (out == NULL)
        return strerror(errno);
    written =
        fwrite(text.ptr, text.len, 1, out) == 1 && (!r->held || fputs("held=yes\n", out) != EOF);
    if (close_durably(out) && written)
        return NULL;
    remove_file(r, "envelope");
    return "its envelope cannot be written";
}

/* False: nothing more can be read. */
static bool write_files(struct receiver *r)
{
    FILE *out = create(r, "eml");
    const char *why;

    if (out == NULL) {
        fail(r, strerror(errno));
        return skip_body(r);
    }
    why = read_body(r, out);
    if (!close_durably(out) && why == NULL)
        why = "it cannot be written";
    if (why == NULL)
        why = write_envelope(r);
    if (why == NULL) {
        r->received++;
        return true;
    }
    remove_file(r, "eml");
    fail(r, why);
    return true;
}

/* ---- answers ---- */

static bool read_head(struct receiver *r, const struct json_node *n)
{
    struct view id = field(n, "id");
    uint64_t number;

    if (id.len != ID_LEN || !view_hex_to_u64(id, &number))
        return false;
    memcpy(r->id, id.ptr, ID_LEN);
    r->held = view_equal(field(n, "state"), VIEW("held"));
    r->envelope_bytes = json_number(json_get(n, "envelope"));
    r->body_bytes = json_number(json_get(n, "size"));
    if (r->envelope_bytes == 0)
        return true;
    if (!view_hex_to_u64(field(n, "crc"), &number))
        return false;
    r->crc = (uint32_t)number;
    return true;
}

static bool take_message(struct receiver *r)
{
    const char *why;

    if (r->envelope_bytes == 0) {
        fail(r, "it cannot be read from the spool");
        return true;
    }
    if (!read_envelope(r))
        return false;
    if (r->folder >= 0)
        return write_files(r);
    why = read_body(r, stdout);
    if (why == NULL)
        r->received++;
    else
        fail(r, why);
    return true;
}

/* The head is copied: what follows takes the place of its line. */
static int hear_message(void *of, const struct json_node *n)
{
    struct receiver *r = of;

    return read_head(r, n) && take_message(r) ? 0 : control_tell_end(&r->control);
}

static int receive(struct receiver *r, const struct settings *s, struct view request)
{
    const struct control_listener to = { .hear = hear_message, .of = r };
    struct error why;
    int status;

    if (control_open(&r->control, s, &why) < 0)
        return trouble("%s", why.text);
    buf_new(&r->envelope, ENVELOPE_MAX);
    status = control_converse(&r->control, request, &to, NULL);
    buf_free(&r->envelope);
    control_close(&r->control);
    if (status != 0 || r->failed > 0)
        return EXIT_TROUBLE;
    return r->received > 0 ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

int command_cat(const struct invocation *in)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .request = BUF_ON_ARRAY(room) };
    struct receiver r = { .folder = -1 };
    int status;

    if (in->argc != 2 || in->argv[1][0] == '-')
        return wrong_use("cat takes the id of one message");
    buf_put(&call.request, VIEW("get"));
    status = call_read(&call, in, NULL);
    if (status != 0)
        return status;
    status = receive(&r, in->settings, buf_view(&call.request));
    if (status == EXIT_NONE_MATCHED)
        trouble("there is no such message");
    return status;
}

int command_export(const struct invocation *in)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .request = BUF_ON_ARRAY(room) };
    struct receiver r = { .folder = -1 };
    const char *folder = NULL;
    int status;

    buf_put(&call.request, VIEW("get"));
    status = call_read(&call, in, &folder);
    if (status != 0)
        return status;
    if (call.filters == 0 || folder == NULL)
        return wrong_use("export which messages, and into which folder?");
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return trouble("cannot make the folder %s: %s", folder, strerror(errno));
    r.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.folder < 0)
        return trouble("cannot open the folder %s: %s", folder, strerror(errno));
    status = receive(&r, in->settings, buf_view(&call.request));
    print_matched(in, r.received, "message");
    if (fsync(r.folder) < 0)
        status = trouble("cannot sync the folder %s: %s", folder, strerror(errno));
    close(r.folder);
    return status;
}
