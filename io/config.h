/* Typed settings from a YAML document (libfyaml). A section is a table of items; the table makes
 * the reader, the defaults, the ranges, the suggestions for unknown keys, and the rows of the
 * manual page. Errors carry file:line:column, show the line with a caret, and all of a run are
 * reported. */
#ifndef IO_CONFIG_H
#define IO_CONFIG_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/view.h"

enum { CONFIG_FILE_MAX = 16 << 20 }; /* bytes of one file */

struct config;      /* a document with its includes, and the errors found so far; heap */
struct config_node; /* a place in it */

enum config_type {
    CONFIG_BOOL,    /* bool: yes/no, true/false, on/off */
    CONFIG_COUNT,   /* uint64_t */
    CONFIG_BYTES,   /* uint64_t: 4096, 64K, 25M, 2G (powers of 1024) */
    CONFIG_SECONDS, /* uint64_t, in milliseconds: 90, 90s, 5m, 4h, 5d, 250ms; a bare number: seconds
                     */
    CONFIG_TEXT,    /* struct view */
    CONFIG_HOST,    /* struct view: a host name */
    CONFIG_PATH,    /* struct view: an absolute path */
    CONFIG_ENUM,    /* unsigned: one of `words` */
    CONFIG_FACTOR,  /* uint64_t, in thousandths: 1.5 */
    CONFIG_RATE,    /* struct config_rate: 100/1m, or none */
    CONFIG_SECTION, /* a mapping: `items`, whose fields count from this item's offset */
    CONFIG_CUSTOM,  /* by `read` */
};

/* So many in that time; none: as many as there are. */
struct config_rate {
    uint64_t count, span_ms;
};

/* "100/1m", over at most a day. */
bool config_parse_rate(struct view text, struct config_rate *rate) MUST_USE;

struct config_item {
    const char *name;
    enum config_type type;
    size_t offset;        /* of the field in the section's struct */
    uint64_t least, most; /* numbers, in the field's unit */
    const char *fallback; /* the default, as one would write it in YAML; NULL: none */
    bool required;
    const char *const *words;        /* CONFIG_ENUM: names of 0, 1, 2 ..., NULL at the end */
    const struct config_item *items; /* CONFIG_SECTION */
    size_t item_count;
    /* CONFIG_CUSTOM: reads `node` into the whole section struct; reports its own errors. Called
     * with the default's node when the key is absent, not at all when there is no default. */
    void (*read)(struct config *c, struct config_node *node, void *section);
    const char *summary; /* one line: the manual page's row */
};

/* Reads the file (and what it includes). Never NULL: a file that cannot be read or parsed
 * is an error inside. `include: other.yaml` or a list of them at the top level merges those
 * files' top-level keys (relative to the including file); a key given twice is an error that names
 * both places. */
struct config *config_read(const char *path) MUST_USE;
/* All files that were read, with their names, as bytes to hand to other processes: config_parse
 * makes the same document of them, positions included, without opening anything. Sections
 * that are not from a file can be added as named attachments before bundling. */
bool config_bundle(const struct config *c, struct buf *out) MUST_USE;
struct config *config_parse(struct view bundle) MUST_USE;                  /* borrows `bundle` */
void config_attach(struct config *c, const char *name, struct view bytes); /* copies */
bool config_attachment(const struct config *c, const char *name, struct view *out);
void config_free(struct config **c);

/* Fills *section from the mapping `node` (NULL: all defaults). Unknown keys, wrong types,
 * values out of range, missing required items are reported; the field then has its default. Fields
 * without a value and without a default are left alone. Views live as long as the config. */
void config_section(struct config *c, struct config_node *node, const struct config_item *items,
                    size_t count, void *section);
/* The same over what *section has already: only what is given changes it. */
void config_section_over(struct config *c, struct config_node *node,
                         const struct config_item *items, size_t count, void *section);
struct config_node *config_root(struct config *c); /* a map; empty when nothing could be read */

/* A number of a CONFIG_COUNT, _BYTES, _SECONDS or _FACTOR item as one would write it: "64K", "5m".
 */
void config_print_number(enum config_type type, uint64_t number, struct buf *out);

/* For CONFIG_CUSTOM readers. */
bool config_is_list(struct config_node *n);
bool config_is_map(struct config_node *n);
size_t config_count(struct config_node *n);                     /* elements of a list or map */
struct config_node *config_at(struct config_node *n, size_t i); /* of a list; or a map's value */
struct config_node *config_key_at(struct config_node *n, size_t i); /* of a map: the key's node */
/* False: not a scalar, or nothing at all ("key:"). */
bool config_scalar(struct config_node *n, struct view *out);
struct config_node *config_find(struct config_node *n, const char *key); /* of a map; NULL: none */
/* "file:line:column: error: words", the line, a caret. Control characters become '?'. */
void config_report(struct config *c, struct config_node *n, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* The same with "warning", for what may be meant: no error. */
void config_warn(struct config *c, struct config_node *n, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Where a value stands, "file:line", for messages of later times ("default" for a default's
 * node); lives as long as c. */
const char *config_origin(struct config *c, struct config_node *n);
/* Memory that lives as long as the config, zeroed. */
void *config_alloc(struct config *c, size_t count, size_t size);

unsigned config_error_count(const struct config *c);
struct view config_errors(const struct config *c); /* the text of all reports and warnings */

#endif
