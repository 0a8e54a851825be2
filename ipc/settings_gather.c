/* What one process checks and finds out for all. */
#include "common/attrs.h"
#include "ipc/settings.h"
#include "ipc/settings_rows.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RESOLV_CONF "/etc/resolv.conf"

static FILE *open_list(char **text, size_t *len)
{
    FILE *list = open_memstream(text, len);

    if (list == NULL)
        abort();
    return list;
}

static void close_list(struct config *c, const char *name, FILE *list, char **text,
                       const size_t *len)
{
    if (fclose(list) != 0)
        abort();
    config_attach(c, name, view_make(*text, *len));
    free(*text);
}

/* "nameserver ADDRESS" lines; no such file or none of them: nothing is attached. */
static void gather_resolvers(struct config *c)
{
    FILE *file = fopen(RESOLV_CONF, "re");
    char line[512];
    char *text = NULL;
    size_t len = 0, count = 0;
    FILE *list;

    if (file == NULL)
        return;
    list = open_list(&text, &len);
    while (fgets(line, sizeof(line), file) != NULL) {
        struct view rest = view_of(line);
        struct view address;

        if (!view_take(&rest, VIEW("nameserver")))
            continue;
        rest.len = strcspn(rest.ptr, "\n");
        rest = view_trim(rest);
        address = view_take_word(&rest);
        fprintf(list, "%.*s\n", VIEW_ARG(address));
        count++;
    }
    (void)fclose(file);
    if (count > 0) {
        close_list(c, "resolvers", list, &text, &len);
        return;
    }
    (void)fclose(list);
    free(text);
}

static void list_folders(DIR *folder, FILE *list)
{
    struct dirent *e;
    struct stat st;

    while ((e = readdir(folder)) != NULL) {
        if (e->d_name[0] == '.' || strchr(e->d_name, '\n') != NULL)
            continue;
        if (fstatat(dirfd(folder), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
            fprintf(list, "%s\n", e->d_name);
    }
}

static void gather_folders(struct config *c, struct config_node *place, struct view root,
                           struct view domain)
{
    char path[4096 + ADDRESS_DOMAIN_MAX + 2];
    char name[ADDRESS_DOMAIN_MAX + 16];
    struct buf lower = BUF_ON_ARRAY(name);
    char *text = NULL;
    size_t len = 0;
    DIR *folder;
    FILE *list;

    buf_put(&lower, VIEW("folders/"));
    for (size_t i = 0; i < domain.len; i++)
        buf_put_byte(&lower, byte_lower(domain.ptr[i]));
    buf_put_byte(&lower, '\0');
    (void)snprintf(path, sizeof(path), "%.*s/%s", VIEW_ARG(root), name + strlen("folders/"));
    folder = opendir(path);
    if (folder == NULL) {
        /* A domain whose first mailbox is still to come has no folder yet. */
        if (errno != ENOENT)
            config_report(c, place, "cannot read %s: %s", path, strerror(errno));
        return;
    }
    list = open_list(&text, &len);
    list_folders(folder, list);
    (void)closedir(folder);
    close_list(c, name, list, &text, &len);
}

static void check_patterns(struct config *c)
{
    struct config_node *mailboxes = config_find(config_root(c), "mailboxes");
    size_t count = config_is_map(mailboxes) ? config_count(mailboxes) : 0;
    struct view text;
    struct error err;

    for (size_t i = 0; i < count; i++) {
        struct config_node *key = config_key_at(mailboxes, i);
        struct pattern *p;

        if (!config_scalar(key, &text) || !settings_take_pattern(&text))
            continue;
        p = pattern_new(text, &err);
        if (p == NULL)
            config_report(c, key, "%s", err.text);
        pattern_free(&p);
    }
}

void settings_gather(struct config *c)
{
    struct config_node *domains = config_find(config_root(c), "domains");
    struct config_node *root = config_find(config_find(config_root(c), "maildir"), "root");
    struct view path, domain, word;

    check_patterns(c);
    gather_resolvers(c);
    settings_gather_aliases(c);
    if (!config_is_map(domains) || !config_scalar(root, &path) || !view_starts(path, VIEW("/")) ||
        path.len > PATH_MAX)
        return;
    for (size_t i = 0; i < config_count(domains); i++) {
        struct config_node *key = config_key_at(domains, i);
        struct config_node *mailboxes = config_find(config_at(domains, i), "mailboxes");

        if (config_scalar(mailboxes, &word) && view_equal_nocase(word, VIEW("directory")) &&
            config_scalar(key, &domain) && domain_valid(domain, false))
            gather_folders(c, mailboxes, path, domain);
    }
}

void settings_load(struct settings *s, struct config *c)
{
    settings_gather(c);
    settings_read(s, c);
    if (config_error_count(c) == 0)
        settings_check_aliases(c, s);
    if (config_error_count(c) == 0)
        settings_check_rules(c, s);
}
