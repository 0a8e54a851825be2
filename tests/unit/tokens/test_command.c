/* Commands that work, fail, print too much, hang, and leave others behind. */
#include "tokens/command.h"

#include "common/text.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 60 * 1000, /* only a test that fails waits so long */
};

#define SHELL(script) VIEW_INIT("/bin/sh\0-c\0" script "\0")

static const struct {
    const char *name;
    struct view words;
    uint64_t patience_ms;
    int result;
    struct view output;
    const char *why;
} cases[] = {
    { "prints a line", VIEW_INIT("/bin/echo\0a b\0"), PATIENCE_MS, 0, VIEW_INIT("a b\n"), "" },
    { "has no input", SHELL("cat; echo end"), PATIENCE_MS, 0, VIEW_INIT("end\n"), "" },
    { "prints nothing", VIEW_INIT("/bin/true\0"), PATIENCE_MS, 0, VIEW_INIT(""), "" },
    { "no shell reads the words", VIEW_INIT("/bin/echo\0$HOME;`id`\0"), PATIENCE_MS, 0,
      VIEW_INIT("$HOME;`id`\n"), "" },
    { "is not there", VIEW_INIT("/nonexistent/token\0"), PATIENCE_MS, -EPROTO, VIEW_INIT(""),
      "it ended with status 127: No such file or directory" },
    { "fails, and says why", SHELL("echo half; echo no network >&2; echo more >&2; exit 3"),
      PATIENCE_MS, -EPROTO, VIEW_INIT("half\n"), "it ended with status 3: no network" },
    { "kills itself", SHELL("kill -9 $$"), PATIENCE_MS, -EPROTO, VIEW_INIT(""),
      "it was ended by signal 9" },
    { "prints without end", VIEW_INIT("/usr/bin/yes\0"), PATIENCE_MS, -EFBIG, VIEW_INIT(""),
      "it printed more than 16384 bytes" },
    { "complains without end, and succeeds", SHELL("head -c 300000 /dev/zero >&2; echo token"),
      PATIENCE_MS, 0, VIEW_INIT("token\n"), "" },
    { "complains without end", SHELL("exec cat /dev/zero >&2"), 100, -ETIMEDOUT, VIEW_INIT(""),
      "it has not ended within 100 ms" },
    { "hangs", SHELL("echo early; sleep 1000"), 100, -ETIMEDOUT, VIEW_INIT("early\n"),
      "it has not ended within 100 ms" },
    { "closes its output and hangs", SHELL("exec >&- 2>&-; sleep 1000"), 100, -ETIMEDOUT,
      VIEW_INIT(""), "it has not ended within 100 ms" },
    { "leaves somebody behind who keeps its output", SHELL("sleep 1000 & echo token"), PATIENCE_MS,
      0, VIEW_INIT("token\n"), "" },
};

static void runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[COMMAND_OUTPUT_MAX];
        struct buf output = BUF_ON_ARRAY(room);
        struct error err = { "" };
        int result = command_run(cases[i].words, cases[i].patience_ms, &output, &err);

        check(cases[i].name, result == cases[i].result);
        check_view(cases[i].name, view_of(err.text), view_of(cases[i].why));
        if (result != -EFBIG && result != -ETIMEDOUT) /* else nobody looks at it */
            check_view(cases[i].name, buf_view(&output), cases[i].output);
    }
}

/* What it started ends with it, whether it ended by itself or not. */
static void leaves_nobody(void **state)
{
    static const char *const scripts[] = {
        "sleep 1000 & echo $!",
        "sleep 1000 & echo $!; wait",
        /* in a session of its own, which its leader has left */
        "setsid sh -c 'sleep 1000 & echo $!'",
        "setsid sh -c 'sleep 1000 & echo $!'; sleep 1000",
        "setsid sh -c 'setsid sh -c \"sleep 1000 & echo \\$!; wait\"; wait' & sleep 1000",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        char words_room[256], room[COMMAND_OUTPUT_MAX], path[64];
        struct buf words = BUF_ON_ARRAY(words_room), output = BUF_ON_ARRAY(room);
        struct error err = { "" };
        uint64_t pid = 0;
        FILE *f;

        buf_printf(&words, "/bin/sh%c-c%c%s%c", '\0', '\0', scripts[i], '\0');
        (void)!command_run(buf_view(&words), 1000, &output, &err);
        assert_true(
            view_to_u64(view_sub(buf_view(&output), 0, buf_len(&output) - 1), UINT32_MAX, &pid));
        (void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
        for (int left = 500; left > 0; left--) { /* init, or whoever it is, buries it soon */
            char stat_room[512] = "";

            f = fopen(path, "r");
            if (f == NULL)
                break;
            (void)!fgets(stat_room, sizeof(stat_room), f);
            (void)fclose(f);
            if (strstr(stat_room, ") Z ") != NULL || strstr(stat_room, ") X ") != NULL)
                break;
            assert_int_not_equal(left, 1);
            usleep(10000);
        }
    }
}

/* Without a descriptor left nothing is run, and those that there are stay. */
static void gives_up_without_descriptors(void **state)
{
    char room[COMMAND_OUTPUT_MAX];
    struct buf output = BUF_ON_ARRAY(room);
    struct error err = { "" };
    struct rlimit before, none;
    int next = dup(STDIN_FILENO);

    (void)state;
    assert_true(next >= 0 && close(next) == 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ (rlim_t)next, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(command_run(VIEW("/bin/true\0"), PATIENCE_MS, &output, &err), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void refuses_too_many_words(void **state)
{
    char words_room[1024], room[COMMAND_OUTPUT_MAX];
    struct buf words = BUF_ON_ARRAY(words_room), output = BUF_ON_ARRAY(room);
    struct error err = { "" };

    (void)state;
    buf_printf(&words, "/bin/true%c", '\0');
    for (int i = 0; i < ROUTE_COMMAND_WORDS_MAX; i++)
        buf_printf(&words, "a%c", '\0');
    assert_int_equal(command_run(buf_view(&words), PATIENCE_MS, &output, &err), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs),
        cmocka_unit_test(leaves_nobody),
        cmocka_unit_test(gives_up_without_descriptors),
        cmocka_unit_test(refuses_too_many_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
