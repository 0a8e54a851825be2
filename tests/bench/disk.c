#include "tests/bench/bench.h"

#include <dirent.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An ext4 without a journal syncs in another way, and its mount does not show it. */
static bool has_journal(const char *device)
{
    const char *name = strrchr(device, '/');
    DIR *dir = opendir("/proc/fs/jbd2");
    const struct dirent *e;
    bool found = false;

    name = name == NULL ? device : name + 1;
    while (dir != NULL && (e = readdir(dir)) != NULL)
        found = found ||
                (strncmp(e->d_name, name, strlen(name)) == 0 && e->d_name[strlen(name)] == '-');
    if (dir != NULL)
        closedir(dir);
    return found;
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 &&
           (path[len] == '/' || path[len] == '\0' || folder[len - 1] == '/');
}

/* The folder itself need not be there yet. */
static char *find_folder(const char *path)
{
    char *copy = strdup(path), *whole = NULL, *slash;

    while (copy != NULL && (whole = realpath(copy, NULL)) == NULL && *copy != '\0') {
        slash = strrchr(copy, '/');
        if (slash == NULL)
            memcpy(copy, ".", 2);
        else
            slash[slash == copy] = '\0';
    }
    free(copy);
    return whole;
}

void bench_tell_disk(const char *path)
{
    char kind[64] = "unknown", options[256] = "";
    char *folder = find_folder(path);
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    const struct mntent *m;
    size_t longest = 0;

    while (folder != NULL && mounts != NULL && (m = getmntent(mounts)) != NULL) {
        size_t len = strlen(m->mnt_dir);

        if (len < longest || !is_below(folder, m->mnt_dir))
            continue;
        longest = len;
        snprintf(kind, sizeof(kind), "%s%s", m->mnt_type,
                 strcmp(m->mnt_type, "ext4") != 0 ? ""
                 : has_journal(m->mnt_fsname)     ? " with a journal"
                                                  : " without a journal");
        snprintf(options, sizeof(options), "%s", m->mnt_opts);
    }
    if (mounts != NULL)
        endmntent(mounts);
    free(folder);
    printf("file system: %s (%s)\n{\"v\":1,\"file_system\":\"%s\",\"options\":\"%s\"}\n", kind,
           options, kind, options);
    fflush(stdout);
}
