/* What a loss of power takes away: all that was written to a file since its last sync, and what was
 * changed in a folder since the folder's. POSIX promises no more. File systems with a journal keep
 * the names of a folder in the order of their changes, and ext4 writes all of them with the next
 * sync of any file: nothing here relies on that. So a rename between two folders is two changes: of
 * the old name, until that folder is synced, and of the new one, until the other folder is; in
 * between a file may have both names, or none. */
#ifndef TESTS_CRASH_POWER_H
#define TESTS_CRASH_POWER_H

#include <stdbool.h>
#include <sys/types.h>

/* Before the write. */
void power_writes(int fd, size_t count, off_t at);
/* Its sync has succeeded; a file or a folder. */
void power_synced(int fd);

/* The calls themselves, when what they change may be lost. */
int power_open(int folder, const char *path, int flags, unsigned mode);
int power_rename(int from_folder, const char *from, int to_folder, const char *to);
int power_unlink(int folder, const char *path);
int power_mkdir(int folder, const char *path, mode_t mode);
int power_link(int from_folder, const char *from, int to_folder, const char *to, int flags);

/* Now it goes. All names, or `some` of them, every other one; nobody changes anything after it. */
void power_off(bool some);
/* The process ends, and the power stays. */
void power_stays(void);

#endif
