/* From the events of libfyaml to the tree of io/config_node.h. */
#include "io/config_node.h"

#include "common/attrs.h"
#include "common/memory.h"
#include "common/text.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 }; /* of lists and maps in each other */

struct yaml {
    struct config *config;
    const struct config_file *file;
    struct fy_diag *diag;
    struct fy_parser *parser;
    struct fy_event *event; /* the current one; NULL: no more */
    unsigned depth;
    unsigned line, column; /* where the last node with a position began */
    bool failed;
};

static void next_event(struct yaml *y)
{
    fy_parser_event_free(y->parser, y->event);
    y->event = fy_parser_parse(y->parser);
}

static enum fy_event_type event_type(const struct yaml *y)
{
    return y->event == NULL ? FYET_NONE : y->event->type;
}

/* A value that is not written ("key:") has no position: it stands where its key does. */
static void locate(struct yaml *y, struct config_node *n)
{
    const struct fy_mark *start = fy_event_start_mark(y->event);
    const struct fy_mark *end = fy_event_end_mark(y->event);

    if (start != NULL) {
        y->line = (unsigned)start->line + 1;
        y->column = (unsigned)start->column + (y->event->type == FYET_ALIAS ? 0 : 1); /* the "*" */
        if (y->event->type == FYET_SCALAR && end != NULL && end->line == start->line)
            n->span = (size_t)(end->column - start->column);
    }
    n->file = y->file;
    n->line = y->line;
    n->column = y->column;
}

static void fail(struct yaml *y, const char *words)
{
    struct config_node place = { .file = y->file, .span = 1 };

    locate(y, &place);
    config_report(y->config, &place, "%s", words);
    y->failed = true;
}

static struct config_node *new_node(struct yaml *y, enum config_shape shape)
{
    struct config_node *n = config_node_new(y->config, shape);

    locate(y, n);
    return n;
}

static bool is_null(struct view text)
{
    return text.len == 0 || view_equal(text, VIEW("~")) || view_equal(text, VIEW("null"));
}

static struct config_node *take_scalar(struct yaml *y)
{
    struct config_node *n = new_node(y, CONFIG_NOTHING);
    struct fy_token *token = y->event->scalar.value;
    struct view text = VIEW_EMPTY;
    char *copy;

    if (token != NULL)
        text.ptr = fy_token_get_text(token, &text.len);
    if (token == NULL || (fy_token_scalar_style(token) == FYSS_PLAIN && is_null(text)))
        return n;
    n->shape = CONFIG_SCALAR;
    copy = config_alloc(y->config, text.len + 1, 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    n->text = view_make(copy, text.len);
    return n;
}

static struct config_node *take_node(struct yaml *y);

static struct config_node *take_list(struct yaml *y)
{
    struct config_node *list = new_node(y, CONFIG_LIST);

    for (next_event(y); !y->failed; next_event(y)) {
        struct config_node *part;

        if (event_type(y) == FYET_NONE || event_type(y) == FYET_SEQUENCE_END)
            break;
        part = take_node(y);
        if (part != NULL)
            config_node_add(y->config, list, part);
    }
    return list;
}

/* The current event is a key. */
static void take_pair(struct yaml *y, struct config_node *map, struct table *keys)
{
    struct config_node *key = take_node(y);
    struct config_node *value;

    if (key != NULL && key->shape != CONFIG_SCALAR) {
        config_report(y->config, key, "a name must be a word, not a list or a mapping");
        y->failed = true;
    }
    if (y->failed)
        return;
    next_event(y);
    value = take_node(y);
    if (key != NULL && value != NULL)
        config_map_add(y->config, map, keys, key, value);
}

static struct config_node *take_map(struct yaml *y)
{
    struct config_node *map = new_node(y, CONFIG_MAP);
    struct table keys;

    table_init(&keys, false);
    for (next_event(y); !y->failed; next_event(y)) {
        if (event_type(y) == FYET_NONE || event_type(y) == FYET_MAPPING_END)
            break;
        take_pair(y, map, &keys);
    }
    table_release(&keys);
    return map;
}

/* The node that begins with the current event, which becomes its last. NULL: none. */
static struct config_node *take_node(struct yaml *y)
{
    struct config_node *n = NULL;
    enum fy_event_type type = event_type(y);

    if (++y->depth > DEPTH_MAX && type != FYET_NONE)
        fail(y, "lists and mappings are nested too deeply");
    else if (type != FYET_NONE && fy_event_get_tag_token(y->event) != NULL)
        fail(y, "tags are not understood here: a value that begins with ! stands between quotes");
    else if (type == FYET_SCALAR)
        n = take_scalar(y);
    else if (type == FYET_SEQUENCE_START)
        n = take_list(y);
    else if (type == FYET_MAPPING_START)
        n = take_map(y);
    else if (type == FYET_ALIAS)
        fail(y, "aliases are not understood here: write the value itself; one that begins with * "
                "stands between quotes");
    y->depth--;
    return n;
}

static struct config_node *take_document(struct yaml *y)
{
    struct config_node *root = NULL;

    next_event(y); /* FYET_STREAM_START */
    next_event(y);
    if (event_type(y) != FYET_DOCUMENT_START)
        return NULL;
    next_event(y);
    root = take_node(y);
    while (!y->failed && event_type(y) != FYET_NONE && event_type(y) != FYET_STREAM_END) {
        next_event(y);
        if (event_type(y) == FYET_DOCUMENT_START)
            fail(y, "a second document begins here; only one is read");
    }
    return root;
}

/* What to do about mistakes whose names do not tell. */
static const char *find_hint(const char *message)
{
    static const char *const hints[][2] = {
        { "nested block mapping",
          ": a value with a colon and a blank in it stands between quotes" },
        { "wrongly indented flow", ": is a [ or { above not closed?" },
    };

    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        if (strstr(message, hints[i][0]) != NULL)
            return hints[i][1];
    }
    return "";
}

/* What libfyaml itself found wrong. */
static void report_syntax(struct yaml *y)
{
    void *at = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(y->diag, &at);
    struct config_node place = { .file = y->file, .span = 1, .line = y->line, .column = y->column };

    y->failed = true;
    if (e == NULL) {
        config_report(y->config, &place, "this is not YAML");
        return;
    }
    if (e->line > 0) {
        place.line = (unsigned)e->line;
        place.column = e->column > 0 ? (unsigned)e->column : 1;
    }
    config_report(y->config, &place, "%s%s", e->msg, find_hint(e->msg));
}

/* libfyaml drops what is not UTF-8 without a word. */
static bool check_text(struct yaml *y)
{
    struct view rest = y->file->bytes;
    struct config_node place = { .file = y->file, .span = 1, .column = 1 };
    struct view line;

    while (view_take_line(&rest, &line)) {
        place.line++;
        if (utf8_valid(line) && !view_has(line, '\0'))
            continue;
        config_report(y->config, &place, "this line is not UTF-8 text");
        y->failed = true;
        return false;
    }
    return true;
}

static bool start_parser(struct yaml *y)
{
    /* Not fy_diag_cfg_default: it asks whether descriptor 2 is a terminal, and that call
     * ends the queue, which reads new settings inside its sandbox. */
    const struct fy_diag_cfg diag = { .level = FYET_INFO, .module_mask = (1u << FYEM_MAX) - 1 };
    struct fy_parse_cfg parse = { .flags =
                                      FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2 };

    y->diag = fy_diag_create(&diag);
    if (y->diag == NULL)
        return false;
    fy_diag_set_collect_errors(y->diag, true);
    parse.diag = y->diag;
    y->parser = fy_parser_create(&parse);
    return y->parser != NULL &&
           fy_parser_set_string(y->parser, y->file->bytes.ptr, y->file->bytes.len) == 0;
}

struct config_node *config_yaml_read(struct config *c, const struct config_file *file)
{
    struct yaml y = { .config = c, .file = file, .line = 1, .column = 1 };
    struct config_node *root = NULL;

    if (check_text(&y)) {
        if (!start_parser(&y))
            abort(); /* out of memory */
        root = take_document(&y);
        if (fy_parser_get_stream_error(y.parser))
            report_syntax(&y);
        fy_parser_event_free(y.parser, y.event);
        fy_parser_destroy(y.parser);
        fy_diag_destroy(y.diag);
    }
    if (y.failed)
        config_set_broken(c);
    return y.failed || root == NULL || root->shape == CONFIG_NOTHING ? NULL : root;
}
