/* What the sources of io/config.h share: the tree that a YAML file becomes. */
#ifndef IO_CONFIG_NODE_H
#define IO_CONFIG_NODE_H

#include "common/table.h"
#include "common/view.h"
#include "io/config.h"

struct config_file {
    const char *name; /* as opened; lives as long as the config */
    struct view bytes;
    uint64_t device, inode; /* zero when it came in a bundle */
    bool built_in;          /* the default of an item */
};

enum config_shape { CONFIG_NOTHING, CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

struct config_node {
    const struct config_file *file; /* NULL: a default */
    unsigned line, column;          /* from 1; line 0: the file as a whole */
    size_t span;                    /* characters to underline */
    enum config_shape shape;
    struct view text;           /* CONFIG_SCALAR */
    struct config_node **parts; /* CONFIG_LIST: elements; CONFIG_MAP: key, value, key ... */
    size_t part_count, part_room;
    struct table_entry entry; /* a key's, while its map is built */
};

struct config_node *config_node_new(struct config *c, enum config_shape shape);
void config_node_add(struct config *c, struct config_node *n, struct config_node *part);
/* Adds a pair to a map whose keys are in `keys`; a key that is there already is reported. */
void config_map_add(struct config *c, struct config_node *map, struct table *keys,
                    struct config_node *key, struct config_node *value);

/* The tree of a file; NULL when it is empty or cannot be parsed, which is reported. */
struct config_node *config_yaml_read(struct config *c, const struct config_file *file);
/* A file could not be understood as a whole: what is missing may stand in it. */
void config_set_broken(struct config *c);
bool config_is_broken(const struct config *c);

#endif
