#include "io/config_node.h"

#include <string.h>

struct config_node *config_node_new(struct config *c, enum config_shape shape)
{
    struct config_node *n = config_alloc(c, 1, sizeof(*n));

    n->shape = shape;
    n->span = 1;
    return n;
}

void config_node_add(struct config *c, struct config_node *n, struct config_node *part)
{
    if (n->part_count == n->part_room) {
        size_t room = n->part_room == 0 ? 8 : n->part_room * 2;
        struct config_node **parts = config_alloc(c, room, sizeof(struct config_node *));

        if (n->part_count > 0)
            memcpy(parts, n->parts, n->part_count * sizeof(struct config_node *));
        n->parts = parts;
        n->part_room = room;
    }
    n->parts[n->part_count++] = part;
}

void config_map_add(struct config *c, struct config_node *map, struct table *keys,
                    struct config_node *key, struct config_node *value)
{
    struct table_entry *earlier = table_find(keys, key->text);

    if (earlier != NULL) {
        struct config_node *first = container_of(earlier, struct config_node, entry);

        config_report(c, key, "\"%.*s\" is given twice, first at %s", VIEW_ARG(key->text),
                      config_origin(c, first));
        return;
    }
    table_add(keys, &key->entry, key->text);
    config_node_add(c, map, key);
    config_node_add(c, map, value);
}

bool config_is_list(struct config_node *n)
{
    return n != NULL && n->shape == CONFIG_LIST;
}

bool config_is_map(struct config_node *n)
{
    return n != NULL && n->shape == CONFIG_MAP;
}

size_t config_count(struct config_node *n)
{
    return config_is_map(n) ? n->part_count / 2 : config_is_list(n) ? n->part_count : 0;
}

struct config_node *config_at(struct config_node *n, size_t i)
{
    return config_is_map(n) ? n->parts[2 * i + 1] : n->parts[i];
}

struct config_node *config_key_at(struct config_node *n, size_t i)
{
    return n->parts[2 * i];
}

bool config_scalar(struct config_node *n, struct view *out)
{
    if (n == NULL || n->shape != CONFIG_SCALAR)
        return false;
    *out = n->text;
    return true;
}

struct config_node *config_find(struct config_node *n, const char *key)
{
    if (!config_is_map(n))
        return NULL;
    for (size_t i = 0; i < config_count(n); i++) {
        if (view_equal(config_key_at(n, i)->text, view_of(key)))
            return config_at(n, i);
    }
    return NULL;
}
