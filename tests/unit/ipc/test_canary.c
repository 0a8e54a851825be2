/* What each role must not do ends it, with the powers that ipc/role.c gives it. */
#include "ipc/role.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTRY_FAILED = 99, WAS_ALLOWED = 0, WAS_REFUSED = 1 };

static char folder[] = "/tmp/test_canary.XXXXXX";

static bool executes(void)
{
    char word[] = "true";
    char *const words[] = { word, NULL };

    execve("/bin/true", words, NULL);
    return false;
}

static bool forks(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0;
}

static bool reads_a_file(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool writes_a_file(void)
{
    return open("/tmp/test_canary_outside", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
}

static bool makes_a_socket(int family, int type)
{
    return socket(family, type | SOCK_CLOEXEC, 0) >= 0;
}

static bool connects(void)
{
    return makes_a_socket(AF_INET, SOCK_STREAM);
}

static bool sends_datagrams(void)
{
    return makes_a_socket(AF_INET6, SOCK_DGRAM);
}

static bool speaks_unix(void)
{
    return makes_a_socket(AF_UNIX, SOCK_STREAM);
}

static bool sniffs(void)
{
    return makes_a_socket(AF_PACKET, SOCK_RAW);
}

static bool listens(void)
{
    return listen(0, 1) == 0 || errno == ENOTSOCK;
}

static bool accepts(void)
{
    return accept4(0, NULL, NULL, SOCK_CLOEXEC) >= 0 || errno == ENOTSOCK;
}

static bool traces(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static bool UNUSED makes_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

/* clang-format off */
static const struct {
    const char *name;
    bool (*act)(void);
    unsigned may; /* FROM(kind) of those that it belongs to */
} acts[] = {
    { "executes a program",   executes,        0 },
    { "forks",                forks,           0 },
    { "reads a file",         reads_a_file,    0 },
    { "writes a file",        writes_a_file,   0 },
    { "makes a TCP socket",   connects,        FROM(DELIVERY) | FROM(DNS) },
    { "makes a UDP socket",   sends_datagrams, FROM(DNS) },
    { "makes a UNIX socket",  speaks_unix,     FROM(AUTH) },
    { "makes a raw socket",   sniffs,          0 },
    { "listens",              listens,         0 },
    { "accepts",              accepts,         FROM(SMTPD) | FROM(QUEUE) },
    { "traces",               traces,          0 },
#ifndef SANITIZED /* whose own start needs it */
    { "makes code",           makes_code,      0 },
#endif
};
/* clang-format on */

static NORETURN void act_as(enum process kind, bool (*act)(void))
{
    struct sandbox s = { .role = process_name(kind),
                         .powers = role_powers(kind),
                         .uid = UINT32_MAX,
                         .gid = UINT32_MAX };
    struct error err;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    if (kind == QUEUE || kind == LOCAL)
        s.writable[0] = folder;
    if (sandbox_enter(&s, &err) < 0)
        _exit(ENTRY_FAILED);
    _exit(act() ? WAS_ALLOWED : WAS_REFUSED);
}

static void test_role(enum process kind)
{
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        bool may = (acts[i].may & FROM(kind)) != 0;
        int status = 0;
        char name[64];
        bool allowed, ended;
        pid_t pid = fork();

        if (pid == 0)
            act_as(kind, acts[i].act);
        waitpid(pid, &status, 0);
        snprintf(name, sizeof(name), "%s %s", process_name(kind), acts[i].name);
        allowed = WIFEXITED(status) && WEXITSTATUS(status) == WAS_ALLOWED;
        ended = (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) ||
                (WIFEXITED(status) && WEXITSTATUS(status) == WAS_REFUSED);
        check(name, may ? allowed : ended);
    }
}

#define ROLE_TEST(kind)                                                                            \
    static void test_##kind(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        test_role(kind);                                                                           \
    }
ROLE_TEST(SMTPD)
ROLE_TEST(QUEUE)
ROLE_TEST(DELIVERY)
ROLE_TEST(DNS)
ROLE_TEST(LOCAL)
ROLE_TEST(AUTH)
ROLE_TEST(KEYS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_SMTPD), cmocka_unit_test(test_QUEUE), cmocka_unit_test(test_DELIVERY),
        cmocka_unit_test(test_DNS),   cmocka_unit_test(test_LOCAL), cmocka_unit_test(test_AUTH),
        cmocka_unit_test(test_KEYS),
    };
    int failed;

    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    failed = cmocka_run_group_tests_name("canary", tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
