/* What the benchmarks share. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdint.h>

enum { BENCH_DOMAINS = 10000 };

_Noreturn void bench_fail(const char *what);
/* The argument number `i`, if there is one. */
uint64_t bench_argument(char **argv, int argc, int i, uint64_t otherwise);
uint64_t bench_now_ms(void);
uint64_t bench_cpu_ms(void);                 /* of this process */
uint64_t bench_memory_kib(const char *name); /* "VmRSS", "VmHWM" */

/* Prints the file system on which `path` lies, for people and as JSON: figures of different ones
 * cannot be compared. */
void bench_tell_disk(const char *path);

/* Makes a spool with so many messages that wait for their second attempt, each to a recipient of
 * its own, at one of BENCH_DOMAINS; takes one as it is that has them. What it leaves without index
 * files gets them at the first start. */
void bench_fill(const char *path, uint64_t messages, uint64_t body_bytes);

#endif
