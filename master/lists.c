#include "master/lists.h"

#include "common/memory.h"
#include "io/log.h"
#include "ipc/rules.h"

#include <stdlib.h>
#include <unistd.h>

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct watched_list *lists_open(const struct rules *r, struct error *err)
{
    struct watched_list *lists = memory_new_array(MAX(r->list_count, 1), sizeof(*lists));

    for (size_t i = 0; i < r->list_count; i++)
        lists[i].fd = -1;
    for (size_t i = 0; i < r->list_count; i++) {
        lists[i].fd = rule_list_open(&r->lists[i], err);
        if (lists[i].fd < 0) {
            lists_close(&lists, r);
            return NULL;
        }
        (void)fstat(lists[i].fd, &lists[i].have);
        lists[i].seen = lists[i].have;
    }
    return lists;
}

void lists_close(struct watched_list **lists, const struct rules *r)
{
    for (size_t i = 0; *lists != NULL && i < r->list_count; i++) {
        if ((*lists)[i].fd >= 0)
            close((*lists)[i].fd);
    }
    free(*lists);
    *lists = NULL;
}

bool lists_look(struct watched_list *lists, const struct rules *r, size_t i)
{
    struct watched_list *l = &lists[i];
    struct error err = { "" };
    struct stat now, seen = l->seen;
    int fd = rule_list_open(&r->lists[i], &err);

    if (fd < 0) {
        if (seen.st_nlink != 0)
            log_warn("list_unreadable", LOG_VIEW("path", r->lists[i].path),
                     LOG_STRING("reason", err.text));
        l->seen = (struct stat){ .st_nlink = 0 };
        return false;
    }
    if (fstat(fd, &now) == 0 && !is_same(&now, &l->have)) {
        l->seen = now;
        if (is_same(&now, &seen)) {
            close(l->fd);
            l->fd = fd;
            l->have = now;
            return true;
        }
    } else {
        l->seen = l->have;
    }
    close(fd);
    return false;
}
