/* tern queue cat, tern queue export: the messages themselves (queue/parcel.h). */
#include "common/crc32c.h"
#include "common/memory.h"
#include "ipc/messages.h"
#include "tools/call.h"
#include "tools/commands.h"

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
    const char *command;
    int folder; /* -1: to standard output */
    bool json;  /* what was done, in the end */
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

static bool read_envelope(struct receiver *r, struct control *c)
{
    uint64_t left = r->envelope_bytes;
    struct view bytes;

    buf_clear(&r->envelope);
    while (left > 0) {
        if (!control_read_bytes(c, left, &bytes) || !buf_put(&r->envelope, bytes))
            return false;
        left -= bytes.len;
    }
    return true;
}

/* Takes the whole body from the queue, even if it cannot be written. NULL: it is whole, and
 * written; else why not. */
static const char *read_body(const struct receiver *r, struct control *c, FILE *out)
{
    bool safe = isatty(fileno(out));
    bool written = true;
    unsigned char last = 0;
    uint64_t left = r->body_bytes;
    uint32_t crc = 0;
    struct view bytes;

    while (left > 0) {
        if (!control_read_bytes(c, left, &bytes))
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

static bool skip_body(const struct receiver *r, struct control *c)
{
    uint64_t left = r->body_bytes;
    struct view bytes;

    for (; left > 0; left -= bytes.len) {
        if (!control_read_bytes(c, left, &bytes))
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
    return close_durably(out) && written ? NULL : "its envelope cannot be written";
}

static void remove_body(const struct receiver *r)
{
    char name[NAME_ROOM];

    snprintf(name, sizeof(name), "%s.eml", r->id);
    unlinkat(r->folder, name, 0);
}

/* False: nothing more can be read. */
static bool write_files(struct receiver *r, struct control *c)
{
    FILE *out = create(r, "eml");
    const char *why;

    if (out == NULL) {
        fail(r, strerror(errno));
        return skip_body(r, c);
    }
    why = read_body(r, c, out);
    if (!close_durably(out) && why == NULL)
        why = "it cannot be written";
    if (why == NULL)
        why = write_envelope(r);
    if (why == NULL) {
        r->received++;
        return true;
    }
    remove_body(r);
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

static bool take_message(struct receiver *r, struct control *c)
{
    const char *why;

    if (r->envelope_bytes == 0) {
        fail(r, "it cannot be read from the spool");
        return true;
    }
    if (!read_envelope(r, c))
        return false;
    if (r->folder >= 0)
        return write_files(r, c);
    why = read_body(r, c, stdout);
    if (why == NULL)
        r->received++;
    else
        fail(r, why);
    return true;
}

static int end_answer(const struct receiver *r, const struct json_node *n)
{
    struct view error = field(n, "error");

    if (error.len > 0)
        return trouble("%.*s", VIEW_ARG(error));
    if (r->json)
        printf("{\"v\":1,\"matched\":%llu}\n", r->received);
    else if (r->folder >= 0)
        printf("%s: %llu message%s\n", r->command, r->received, r->received == 1 ? "" : "s");
    if (r->failed > 0)
        return EXIT_TROUBLE;
    return r->received > 0 ? EXIT_SUCCESS : EXIT_NONE_MATCHED;
}

static int receive(struct receiver *r, struct control *c)
{
    struct view line;

    while (control_read(c, &line)) {
        struct json *j = json_parse(line);
        const struct json_node *n = json_root(j);
        bool last = json_get(n, "end") != NULL || json_get(n, "error") != NULL;
        int status = last ? end_answer(r, n) : 0;
        bool sound = last || read_head(r, n);

        json_free(&j); /* it borrows from the line, and what follows takes its place */
        if (last)
            return status;
        if (!sound || !take_message(r, c))
            break;
    }
    return trouble("the queue ended the conversation before its answer was complete");
}

static int run(struct receiver *r, const struct call *call, const struct settings *s)
{
    struct control control;
    int status = call_begin(call, s, &control);

    if (status != 0)
        return status;
    buf_new(&r->envelope, ENVELOPE_MAX);
    status = receive(r, &control);
    buf_free(&r->envelope);
    control_close(&control);
    return status;
}

int command_cat(const struct settings *s, int argc, char **argv)
{
    char room[256];
    struct call call = { .command = argv[0], .request = BUF_ON_ARRAY(room) };
    struct receiver r = { .command = argv[0], .folder = -1 };

    if (argc != 2)
        return trouble("cat takes the id of one message");
    if (!buf_put(&call.request, VIEW("get")) || !control_put(&call.request, "id", view_of(argv[1])))
        return trouble("%s is not the id of a message", argv[1]);
    return run(&r, &call, s);
}

int command_export(const struct settings *s, int argc, char **argv)
{
    static char room[CALL_REQUEST_MAX];
    struct call call = { .command = argv[0], .request = BUF_ON_ARRAY(room), .wants_folder = true };
    struct receiver r = { .command = argv[0] };
    int status;

    buf_put(&call.request, VIEW("get"));
    status = call_read(&call, argc, argv);
    if (status != 0)
        return status;
    r.json = call.json;
    if (call.filters == 0 || call.folder == NULL)
        return trouble("export which messages, and into which folder?");
    if (mkdir(call.folder, 0700) < 0 && errno != EEXIST)
        return trouble("cannot make the folder %s: %s", call.folder, strerror(errno));
    r.folder = open(call.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.folder < 0)
        return trouble("cannot open the folder %s: %s", call.folder, strerror(errno));
    status = run(&r, &call, s);
    if (fsync(r.folder) < 0)
        status = trouble("cannot sync the folder %s: %s", call.folder, strerror(errno));
    close(r.folder);
    return status;
}
