/* Reads JSON that one of our own programs wrote, for people's eyes: libfyaml, since YAML contains
 * JSON. Not for the network. */
#ifndef IO_JSON_H
#define IO_JSON_H

#include "common/attrs.h"
#include "common/view.h"

struct json;      /* a document; heap */
struct json_node; /* a place in it; NULL stands for "not there" everywhere */

struct json *json_parse(struct view text) MUST_USE; /* NULL: not JSON */
void json_free(struct json **j);

const struct json_node *json_root(const struct json *j);
const struct json_node *json_get(const struct json_node *object, const char *key);
bool json_is_object(const struct json_node *n);
bool json_is_list(const struct json_node *n);
size_t json_count(const struct json_node *n); /* elements of a list, pairs of an object */
const struct json_node *json_at(const struct json_node *n, size_t i); /* a pair: its value */
struct view json_key_at(const struct json_node *object, size_t i);
/* A string or number as written; empty for null and for what is not there. */
struct view json_text(const struct json_node *n);
uint64_t json_number(const struct json_node *n); /* 0 when it is none */

#endif
