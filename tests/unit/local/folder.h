/* A folder of its own for each test, and looks into it. */
#ifndef TESTS_UNIT_LOCAL_FOLDER_H
#define TESTS_UNIT_LOCAL_FOLDER_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder_path[64];
static int folder_fd = -1;

static inline UNUSED int folder_make(void **state)
{
    (void)state;
    strcpy(folder_path, "/tmp/tern-test-XXXXXX");
    assert_non_null(mkdtemp(folder_path));
    folder_fd = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder_fd >= 0);
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline UNUSED int folder_remove(void **state)
{
    (void)state;
    close(folder_fd);
    return nftw(folder_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The entries of a sub-folder, and the name of one of them. */
static inline UNUSED unsigned folder_count(const char *sub, char name[NAME_MAX + 1])
{
    int fd = openat(folder_fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    unsigned count = 0;

    if (dir == NULL)
        return 0;
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        if (name != NULL)
            memcpy(name, e->d_name, strlen(e->d_name) + 1);
    }
    closedir(dir);
    return count;
}

/* The only file in a sub-folder; valid until the next call. */
static inline UNUSED struct view folder_read_only_file(const char *sub)
{
    static char room[1 << 20];
    char name[NAME_MAX + 1], path[NAME_MAX + 64];
    ssize_t n;
    int fd;

    assert_int_equal(folder_count(sub, name), 1);
    snprintf(path, sizeof(path), "%s/%s", sub, name);
    fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    n = read(fd, room, sizeof(room));
    assert_true(n >= 0);
    close(fd);
    return view_make(room, (size_t)n);
}

#endif
