#include "io/config.h"

#include "common/arena.h"
#include "common/memory.h"
#include "common/text.h"
#include "common/wire.h"
#include "io/config_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MAX = 256,
    REPORTS_MAX = 100, /* further ones are counted, not written */
    SHOWN_MAX = 160,   /* bytes of a line that a report shows */
};

struct attachment {
    struct attachment *next;
    struct view name, bytes;
};

struct config {
    struct arena arena;
    struct config_file *files[FILES_MAX]; /* those that were read, the main one first */
    size_t file_count;
    struct config_file *bundled; /* config_parse: what may be included */
    size_t bundled_count;
    bool from_bundle, broken;
    struct attachment *attachments;
    struct config_node *root;
    struct table root_keys;
    unsigned error_count, warning_count;
    FILE *report; /* writes to `errors` */
    char *errors;
    size_t error_bytes;
};

void *config_alloc(struct config *c, size_t count, size_t size)
{
    size_t bytes;
    void *room = NULL;

    if (!__builtin_mul_overflow(count, size, &bytes))
        room = arena_alloc(&c->arena, bytes);
    if (room == NULL)
        abort();
    return room;
}

static struct view copy_view(struct config *c, struct view bytes)
{
    char *copy = config_alloc(c, bytes.len + 1, 1);

    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    return view_make(copy, bytes.len);
}

struct config_node *config_root(struct config *c)
{
    return c->root;
}

/* Reports */

const char *config_origin(struct config *c, struct config_node *n)
{
    size_t room;
    char *text;

    if (n == NULL || n->file == NULL || n->file->built_in)
        return "default";
    room = strlen(n->file->name) + 16;
    text = config_alloc(c, room, 1);
    (void)snprintf(text, room, "%s:%u", n->file->name, n->line);
    return text;
}

/* The second and later octets of a character stand in no column of their own. */
static bool continues_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static struct view find_line(struct view bytes, unsigned line)
{
    struct view found = VIEW_EMPTY;

    for (unsigned i = 0; i < line; i++) {
        if (!view_take_line(&bytes, &found))
            return VIEW_EMPTY;
    }
    if (found.len <= SHOWN_MAX)
        return found;
    for (found.len = SHOWN_MAX; continues_character(found.ptr[found.len]);)
        found.len--;
    return found;
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Unreadable bytes become '?', so that a terminal is safe from them. */
static void show_line(struct config *c, struct view line)
{
    bool text = utf8_valid(line);

    for (size_t i = 0; i < line.len; i++) {
        bool odd = is_control(line.ptr[i]) || (!text && (unsigned char)line.ptr[i] >= 0x80);

        fputc(odd && line.ptr[i] != '\t' ? '?' : line.ptr[i], c->report);
    }
}

static void show_place(struct config *c, const struct config_node *n)
{
    struct view line = find_line(n->file->bytes, n->line);
    unsigned column = 1;
    size_t span = 1;

    if (line.len == 0)
        return;
    fputs("    ", c->report);
    show_line(c, line);
    fputs("\n    ", c->report);
    for (size_t i = 0; i < line.len && column < n->column; i++) {
        if (continues_character(line.ptr[i]))
            continue;
        fputc(line.ptr[i] == '\t' ? '\t' : ' ', c->report);
        column++;
    }
    fputc('^', c->report);
    for (; span < n->span && n->column + span <= line.len; span++)
        fputc('~', c->report);
    fputc('\n', c->report);
}

PRINTF_LIKE(4, 0)
static void report(struct config *c, struct config_node *n, const char *kind, const char *format,
                   va_list args)
{
    char words[1024];

    if (vsnprintf(words, sizeof(words), format, args) < 0)
        words[0] = '\0';
    for (char *at = words; *at != '\0'; at++) {
        if (is_control(*at))
            *at = '?';
    }
    if (n == NULL || n->file == NULL)
        fprintf(c->report, "%s: %s\n", kind, words);
    else if (n->line == 0)
        fprintf(c->report, "%s: %s: %s\n", n->file->name, kind, words);
    else
        fprintf(c->report, "%s:%u:%u: %s: %s\n", n->file->name, n->line, n->column, kind, words);
    if (n != NULL && n->file != NULL && n->line > 0)
        show_place(c, n);
    fflush(c->report);
}

void config_report(struct config *c, struct config_node *n, const char *format, ...)
{
    va_list args;

    if (++c->error_count > REPORTS_MAX)
        return;
    va_start(args, format);
    report(c, n, "error", format, args);
    va_end(args);
    if (c->error_count == REPORTS_MAX)
        fputs("too many errors, further ones are not shown\n", c->report);
    fflush(c->report);
}

void config_warn(struct config *c, struct config_node *n, const char *format, ...)
{
    va_list args;

    if (++c->warning_count > REPORTS_MAX)
        return;
    va_start(args, format);
    report(c, n, "warning", format, args);
    va_end(args);
}

unsigned config_error_count(const struct config *c)
{
    return c->error_count;
}

struct view config_errors(const struct config *c)
{
    return view_make(c->errors, c->error_bytes);
}

void config_set_broken(struct config *c)
{
    c->broken = true;
}

bool config_is_broken(const struct config *c)
{
    return c->broken;
}

/* Files */

/* Up to CONFIG_FILE_MAX bytes; 0 or a negative errno. */
static int read_descriptor(struct config *c, int fd, struct view *bytes)
{
    struct buf b;
    int err = 0;

    buf_new(&b, CONFIG_FILE_MAX + 1);
    for (;;) {
        size_t room;
        char *tail = buf_tail(&b, &room);
        ssize_t got = room == 0 ? 0 : read(fd, tail, room);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = -errno;
        if (got <= 0)
            break;
        buf_extend(&b, (size_t)got);
    }
    if (err == 0 && buf_len(&b) > CONFIG_FILE_MAX)
        err = -EFBIG;
    if (err == 0)
        *bytes = copy_view(c, buf_view(&b));
    buf_free(&b);
    return err;
}

static int load_file(struct config *c, struct config_file *file)
{
    struct stat st;
    int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int err = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        err = -errno;
    if (err == 0)
        err = read_descriptor(c, fd, &file->bytes);
    file->device = st.st_dev;
    file->inode = st.st_ino;
    close(fd);
    return err;
}

static int load_bundled(struct config *c, struct config_file *file)
{
    for (size_t i = 0; i < c->bundled_count; i++) {
        if (strcmp(c->bundled[i].name, file->name) == 0) {
            file->bytes = c->bundled[i].bytes;
            return 0;
        }
    }
    return -ENOENT;
}

static bool is_same_file(const struct config_file *a, const struct config_file *b)
{
    if (a->inode != 0 && a->inode == b->inode && a->device == b->device)
        return true;
    return strcmp(a->name, b->name) == 0;
}

static struct config_file *find_loaded(struct config *c, const struct config_file *file)
{
    for (size_t i = 0; i < c->file_count; i++) {
        if (is_same_file(c->files[i], file))
            return c->files[i];
    }
    return NULL;
}

/* Where `path` leads to from `file`. */
static const char *resolve_name(struct config *c, const struct config_file *file, struct view path)
{
    struct view name = view_of(file->name);
    size_t slash = view_find_last(name, '/');
    size_t folder = path.ptr[0] == '/' || slash == name.len ? 0 : slash + 1;
    char *room = config_alloc(c, folder + path.len + 1, 1);

    memcpy(room, name.ptr, folder);
    memcpy(room + folder, path.ptr, path.len);
    return room;
}

static void add_file(struct config *c, const char *name, struct config_node *from);

static void include_file(struct config *c, struct config_node *n)
{
    struct view path;

    if (!config_scalar(n, &path) || path.len == 0 || view_has(path, '\0')) {
        config_report(c, n, "expected the path of a file");
        return;
    }
    add_file(c, resolve_name(c, n->file, path), n);
}

static void include_files(struct config *c, struct config_node *n)
{
    if (!config_is_list(n)) {
        include_file(c, n);
        return;
    }
    for (size_t i = 0; i < config_count(n); i++)
        include_file(c, config_at(n, i));
}

static void merge_map(struct config *c, struct config_node *map)
{
    for (size_t i = 0; i < config_count(map); i++) {
        struct config_node *key = config_key_at(map, i);

        if (view_equal(key->text, VIEW("include")))
            include_files(c, config_at(map, i));
        else
            config_map_add(c, c->root, &c->root_keys, key, config_at(map, i));
    }
}

/* `from` is what asked for the file; NULL: it is the main one. */
static void add_file(struct config *c, const char *name, struct config_node *from)
{
    struct config_file *file = config_alloc(c, 1, sizeof(*file));
    struct config_node whole = { .file = file };
    struct config_node *map;
    int err;

    file->name = name;
    err = c->from_bundle ? load_bundled(c, file) : load_file(c, file);
    if (err < 0) {
        config_report(c, from != NULL ? from : &whole, "cannot read %s: %s", name, strerror(-err));
        config_set_broken(c);
        return;
    }
    if (find_loaded(c, file) != NULL) {
        config_report(c, from, "%s is included a second time", name);
        return;
    }
    if (c->file_count == FILES_MAX) {
        config_report(c, from, "more than %d files", FILES_MAX);
        return;
    }
    c->files[c->file_count++] = file;
    map = config_yaml_read(c, file);
    if (map != NULL && config_is_map(map))
        merge_map(c, map);
    if (map == NULL || config_is_map(map))
        return;
    config_report(c, map, "expected settings, \"name: value\", at the top level");
    config_set_broken(c);
}

static struct config *config_new(void)
{
    struct config *c = memory_new(sizeof(*c));

    arena_init(&c->arena, SIZE_MAX / 2);
    table_init(&c->root_keys, false);
    c->report = open_memstream(&c->errors, &c->error_bytes);
    if (c->report == NULL)
        abort();
    c->root = config_node_new(c, CONFIG_MAP);
    return c;
}

/* A missing item is missing in the main file, at its beginning. */
static void place_root(struct config *c)
{
    if (c->file_count == 0)
        return;
    c->root->file = c->files[0];
    c->root->line = c->root->column = 1;
}

struct config *config_read(const char *path)
{
    struct config *c = config_new();

    add_file(c, copy_view(c, view_of(path)).ptr, NULL);
    place_root(c);
    return c;
}

void config_free(struct config **c)
{
    if (*c == NULL)
        return;
    fclose((*c)->report);
    free((*c)->errors);
    table_release(&(*c)->root_keys);
    arena_reset(&(*c)->arena);
    free(*c);
    *c = NULL;
}

/* Bundles: a count of files, their names and bytes; then the same of attachments. */

static uint32_t count_attachments(const struct config *c)
{
    uint32_t count = 0;

    for (const struct attachment *a = c->attachments; a != NULL; a = a->next)
        count++;
    return count;
}

bool config_bundle(const struct config *c, struct buf *out)
{
    size_t room;
    char *tail = buf_tail(out, &room);
    struct wire_writer w = wire_write(tail, room);
    struct view bytes;

    wire_put_u32(&w, (uint32_t)c->file_count);
    for (size_t i = 0; i < c->file_count; i++) {
        wire_put_view(&w, view_of(c->files[i]->name));
        wire_put_view(&w, c->files[i]->bytes);
    }
    wire_put_u32(&w, count_attachments(c));
    for (const struct attachment *a = c->attachments; a != NULL; a = a->next) {
        wire_put_view(&w, a->name);
        wire_put_view(&w, a->bytes);
    }
    if (!wire_finish(&w, &bytes))
        return false;
    buf_extend(out, bytes.len);
    return true;
}

static void read_bundle(struct config *c, struct wire_reader *r)
{
    uint32_t count = wire_get_u32(r);

    c->bundled = config_alloc(c, MIN(count, FILES_MAX), sizeof(*c->bundled));
    for (uint32_t i = 0; i < count && i < FILES_MAX && !r->failed; i++) {
        struct view name = wire_get_view(r);

        c->bundled[c->bundled_count++] =
            (struct config_file){ .name = copy_view(c, name).ptr, .bytes = wire_get_view(r) };
    }
    count = wire_get_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct view name = wire_get_view(r);
        struct attachment *a = config_alloc(c, 1, sizeof(*a));

        *a = (struct attachment){ c->attachments, name, wire_get_view(r) };
        c->attachments = a;
    }
}

struct config *config_parse(struct view bundle)
{
    struct config *c = config_new();
    struct wire_reader r = wire_read(bundle);

    c->from_bundle = true;
    read_bundle(c, &r);
    if (!wire_done(&r) || c->bundled_count == 0) {
        config_report(c, NULL, "the bundle of the configuration is damaged");
        config_set_broken(c);
        return c;
    }
    add_file(c, c->bundled[0].name, NULL);
    place_root(c);
    return c;
}

static struct attachment *find_attachment(const struct config *c, struct view name)
{
    struct attachment *a = c->attachments;

    while (a != NULL && !view_equal(a->name, name))
        a = a->next;
    return a;
}

void config_attach(struct config *c, const char *name, struct view bytes)
{
    struct attachment *a = find_attachment(c, view_of(name));

    if (a == NULL) {
        a = config_alloc(c, 1, sizeof(*a));
        a->name = copy_view(c, view_of(name));
        a->next = c->attachments;
        c->attachments = a;
    }
    a->bytes = copy_view(c, bytes);
}

bool config_attachment(const struct config *c, const char *name, struct view *out)
{
    const struct attachment *a = find_attachment(c, view_of(name));

    if (a == NULL)
        return false;
    *out = a->bytes;
    return true;
}
