/* Files of values, as the processes that may open files see them. */
#include "common/attrs.h"
#include "common/memory.h"
#include "ipc/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int rule_list_open(const struct rule_list *l, struct error *err)
{
    char *name = memory_copy(l->path);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    int result = fd;

    if (fd < 0)
        result = error_set(err, -errno, "%s cannot be read: %s", name, strerror(errno));
    else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > RULE_LIST_BYTES_MAX)
        result = error_set(err, -EINVAL, "%s is no file, or larger than %d bytes", name,
                           RULE_LIST_BYTES_MAX);
    if (result < 0 && fd >= 0)
        close(fd);
    free(name);
    return result;
}

struct view rule_list_read(int fd, struct error *err)
{
    struct stat st;
    char *room;
    size_t len = 0;
    ssize_t n;

    if (fstat(fd, &st) < 0 || st.st_size > RULE_LIST_BYTES_MAX) {
        error_set(err, -EFBIG, "the list cannot be read, or is too large");
        return VIEW_EMPTY;
    }
    room = memory_new((size_t)st.st_size + 1);
    while (len < (size_t)st.st_size &&
           (n = pread(fd, room + len, (size_t)st.st_size - len, (off_t)len)) > 0)
        len += (size_t)n;
    return view_make(room, len);
}
