/* The users and folders that a configuration needs, as the start will look for them. */
#include "tools/check_files.h"

#include "common/memory.h"
#include "ipc/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where it is given, else the section, else the beginning of the file. */
static struct config_node *find_place(struct config *c, const char *section, const char *name)
{
    struct config_node *n = config_find(config_root(c), section);
    struct config_node *item = config_find(n, name);

    return item != NULL ? item : n != NULL ? n : config_root(c);
}

static void check_user(struct config *c, enum process role, struct view name, struct identity *who)
{
    struct error err;

    if (name.len > 0 && identity_find(name, who, &err) < 0)
        config_report(c, find_place(c, "users", process_name(role)), "%s", err.text);
}

/* ---- folders ---- */

/* As that user, if we may be anybody. */
static int try_access(const char *path, const struct identity *who)
{
    gid_t gid = getegid();
    int err;

    if (who->uid != UINT32_MAX && (setegid(who->gid) < 0 || seteuid(who->uid) < 0))
        abort();
    err = faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
    if (who->uid != UINT32_MAX && (seteuid(0) < 0 || setegid(gid) < 0))
        abort();
    return err;
}

/* The start makes the last folder of a path, and no more. */
static void check_missing(struct config *c, struct config_node *n, char *path)
{
    char *slash = strrchr(path, '/');
    struct stat st;

    slash[slash == path] = '\0';
    if (stat(path, &st) < 0)
        config_report(c, n, "%s is missing: mkdir -p it; the last folder is made at the start",
                      path);
}

/* Who may not look, but is not who starts Tern either, is told that nobody looked. */
static void check_folder(struct config *c, struct config_node *n, struct view path,
                         struct view user, const struct identity *who)
{
    char *name = memory_copy(path);
    struct stat st;
    int err = 0;

    if (stat(name, &st) < 0)
        err = errno;
    else if (!S_ISDIR(st.st_mode))
        err = ENOTDIR;
    else
        err = try_access(name, who);
    if (err == ENOENT)
        check_missing(c, n, name);
    else if (err == EACCES && geteuid() != 0)
        config_warn(c, n, "you may not use %s, so nobody has looked at it", name);
    else if (err == EACCES)
        config_report(
            c, n,
            "user %.*s may not use %s: chown it to that user, who must also be let through "
            "the folders above",
            VIEW_ARG(user), name);
    else if (err != 0)
        config_report(c, n, "%s cannot be used: %s", name, strerror(err));
    free(name);
}

/* Of the socket; master makes it. */
static void check_control(struct config *c, struct view path)
{
    struct config_node *n = config_find(config_root(c), "control");
    char *name = memory_copy(view_sub(path, 0, view_find_last(path, '/')));
    struct stat st;

    if (name[0] == '/' && stat(name, &st) < 0 && errno == ENOENT)
        check_missing(c, n != NULL ? n : config_root(c), name);
    free(name);
}

void check_system(struct config *c, const struct settings *s)
{
    struct identity users[PROCESS_KINDS];
    struct view root = s->maildir.root;

    for (unsigned i = 0; i < PROCESS_KINDS; i++) {
        users[i] = (struct identity){ UINT32_MAX, UINT32_MAX };
        check_user(c, (enum process)i, identity_name(s, (enum process)i), &users[i]);
    }
    check_control(c, s->control);
    check_folder(c, find_place(c, "spool", "path"), s->spool.path, s->users.queue, &users[QUEUE]);
    if (root.len > 0)
        check_folder(c, find_place(c, "maildir", "root"), root, s->users.local, &users[LOCAL]);
}
