#include "io/json.h"

#include <libfyaml.h>

/* struct json is an fy_document, struct json_node an fy_node: the names keep libfyaml's header out
 * of everybody else's. */
static struct fy_node *node_of(const struct json_node *n)
{
    return (struct fy_node *)(uintptr_t)n;
}

struct json *json_parse(struct view text)
{
    static const struct fy_parse_cfg quiet = { .flags = FYPCF_QUIET | FYPCF_JSON_FORCE };

    return (struct json *)fy_document_build_from_string(&quiet, text.ptr, text.len);
}

void json_free(struct json **j)
{
    fy_document_destroy((struct fy_document *)*j);
    *j = NULL;
}

const struct json_node *json_root(const struct json *j)
{
    return (const struct json_node *)fy_document_root((struct fy_document *)(uintptr_t)j);
}

const struct json_node *json_get(const struct json_node *object, const char *key)
{
    if (!json_is_object(object))
        return NULL;
    return (const struct json_node *)fy_node_mapping_lookup_by_string(node_of(object), key, FY_NT);
}

bool json_is_object(const struct json_node *n)
{
    return n != NULL && fy_node_is_mapping(node_of(n));
}

bool json_is_list(const struct json_node *n)
{
    return n != NULL && fy_node_is_sequence(node_of(n));
}

size_t json_count(const struct json_node *n)
{
    int count = json_is_list(n)     ? fy_node_sequence_item_count(node_of(n))
                : json_is_object(n) ? fy_node_mapping_item_count(node_of(n))
                                    : 0;

    return count > 0 ? (size_t)count : 0;
}

const struct json_node *json_at(const struct json_node *n, size_t i)
{
    struct fy_node *at;

    if (json_is_list(n))
        at = fy_node_sequence_get_by_index(node_of(n), (int)i);
    else
        at = fy_node_pair_value(fy_node_mapping_get_by_index(node_of(n), (int)i));
    return (const struct json_node *)at;
}

struct view json_key_at(const struct json_node *object, size_t i)
{
    struct fy_node_pair *pair = fy_node_mapping_get_by_index(node_of(object), (int)i);

    return json_text((const struct json_node *)fy_node_pair_key(pair));
}

struct view json_text(const struct json_node *n)
{
    size_t len = 0;
    const char *text;

    if (n == NULL || !fy_node_is_scalar(node_of(n)))
        return VIEW_EMPTY;
    text = fy_node_get_scalar(node_of(n), &len);
    if (fy_node_get_style(node_of(n)) == FYNS_PLAIN &&
        view_equal(view_make(text, len), VIEW("null")))
        return VIEW_EMPTY;
    return view_make(text, len);
}

uint64_t json_number(const struct json_node *n)
{
    uint64_t number;

    return view_to_u64(json_text(n), UINT64_MAX, &number) ? number : 0;
}
