/* For the files that read the configuration, settings_*.c: how the rows of a section's table are
 * written, and the values that several sections have. Each section that is new gets a file of its
 * own, which gives its table as a struct settings_table for the list of sections in settings.c. */
#ifndef IPC_SETTINGS_ROWS_H
#define IPC_SETTINGS_ROWS_H

#include "common/attrs.h"
#include "ipc/settings.h"

#define SECOND_MS 1000ULL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define KIB       (1ULL << 10)
#define MIB       (1ULL << 20)
#define GIB       (1ULL << 30)

/* NUMBER: least and most in the field's unit. */
#define PLACE(of, field) .offset = offsetof(of, field)
#define NUMBER(key, kind, of, field, low, high, value, words)                                      \
    {                                                                                              \
        .name = key, .type = CONFIG_##kind, PLACE(of, field), .least = low, .most = high,          \
        .fallback = value, .summary = words                                                        \
    }
#define VALUE(key, kind, of, field, value, text)                                                   \
    {                                                                                              \
        .name = key, .type = CONFIG_##kind, PLACE(of, field), .fallback = value, .summary = text   \
    }
#define CHOICE(key, of, field, list, value, text)                                                  \
    {                                                                                              \
        .name = key, .type = CONFIG_ENUM, PLACE(of, field), .words = list, .fallback = value,      \
        .required = (value) == NULL, .summary = text                                               \
    }
#define READ(key, reader, needed, value, text)                                                     \
    {                                                                                              \
        .name = key, .type = CONFIG_CUSTOM, .read = reader, .required = needed, .fallback = value, \
        .summary = text                                                                            \
    }
#define SECTION(key, table, field, text)                                                           \
    {                                                                                              \
        .name = key, .type = CONFIG_SECTION, PLACE(struct settings, field), .items = table,        \
        .item_count = COUNT_OF(table), .summary = text                                             \
    }

/* A section's rows. A file exports its own as "extern const struct settings_table ..." in this
 * header; other_tables of settings.c lists it, and a READ row of root_items calls its reader. */
struct settings_table {
    const char *name; /* as it stands at the top level */
    const struct config_item *items;
    size_t count;
};

extern const struct settings_table settings_extensions;
void settings_read_extensions(struct config *c, struct config_node *n,
                              struct extension_settings *out);
/* A listener's, whose role is read already. */
void settings_read_own_extensions(struct config *c, struct config_node *n,
                                  struct listener_settings *l);

extern const struct settings_table settings_listen, settings_rules_table;
void settings_read_listeners(struct config *c, struct config_node *n, void *section);
/* What is given for a listener, over what *section has: rows of that table, up to `last`. */
void settings_read_own(struct config *c, struct config_node *n, const char *table, const char *last,
                       void *section);
extern const struct settings_table settings_domains;
void settings_read_domains(struct config *c, struct config_node *n, void *section);
void settings_read_mailboxes(struct config *c, struct config_node *n, void *section);
/* Those of directory domains, as settings_gather found them. */
void settings_read_folders(struct config *c, struct settings *s);
extern const struct settings_table settings_routes;
extern const struct settings_table settings_destinations;
void settings_read_routes(struct config *c, struct config_node *n, void *section);
void settings_read_destinations(struct config *c, struct config_node *n, void *section);
/* "10/1s", or "none". */
void settings_read_rate(struct config *c, struct config_node *n, struct rate *out);

void settings_read_aliases(struct config *c, struct config_node *n, void *section);
void settings_read_alias_files(struct config *c, struct config_node *n, void *section);
void settings_read_detail(struct config *c, struct config_node *n, void *section);
/* Parts of settings_gather and settings_load. */
#define SETTINGS_ALIASES_PREFIX "aliases:" /* and the path: the attachment of a file */
void settings_gather_aliases(struct config *c);
void settings_check_aliases(struct config *c, const struct settings *s);
void settings_check_rules(struct config *c, const struct settings *s);
void settings_read_rules(struct config *c, struct config_node *n, void *section);

enum { SETTINGS_NAME_MAX = 64 }; /* bytes */
/* A name that something is given: a-z A-Z 0-9 . _ - */
bool settings_is_name(struct view text);
void settings_read_certificates(struct config *c, struct config_node *n, void *tls);
extern const struct settings_table settings_strangers;
void settings_read_strangers(struct config *c, struct config_node *n, void *section);
extern const struct settings_table settings_rates;
void settings_read_rates(struct config *c, struct config_node *n, void *section);
extern const struct settings_table settings_auth_table;
void settings_read_auth(struct config *c, struct config_node *n, void *settings);

/* Copies that live as long as `c`. */
void *settings_copy(struct config *c, const void *bytes, size_t size);
struct view settings_lower(struct config *c, struct view text);

/* An array of zeroed structs of `size` bytes, one for each element of the list `n`; each is filled
 * by `items`. */
void *settings_rows(struct config *c, struct config_node *n, const struct config_item *items,
                    size_t item_count, size_t size, size_t *count);
/* A list of networks, of which none may be so large that to trust it were an open relay. */
void settings_networks(struct config *c, struct config_node *n, struct network_list *list);

#endif
