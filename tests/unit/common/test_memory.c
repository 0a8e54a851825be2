#include "common/memory.h"

#include "common/error.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void is_zeroed(void **state)
{
    static const char zeros[4096];
    void *one = memory_new(4096);
    void *many = memory_new_array(64, 64);

    (void)state;
    assert_memory_equal(one, zeros, 4096);
    assert_memory_equal(many, zeros, 4096);
    free(one);
    free(many);
}

static void nothing_is_something_too(void **state)
{
    void *none = memory_new_array(0, 8);
    char *copy = memory_copy(VIEW_EMPTY);

    (void)state;
    assert_non_null(none);
    none = memory_grow(none, 0, 8);
    assert_non_null(none);
    assert_string_equal(copy, "");
    free(none);
    free(copy);
}

static void grows_and_copies(void **state)
{
    char *room = memory_copy(VIEW("abc"));

    (void)state;
    assert_string_equal(room, "abc");
    room = memory_grow(room, 1000, 2);
    assert_string_equal(room, "abc");
    free(room);
    room = memory_grow(NULL, 1, 1);
    room[0] = 'x';
    free(room);
}

static void ask_for_too_much(int what)
{
    volatile size_t count = SIZE_MAX / 2;

    if (what == 0)
        free(memory_new_array(count, 3));
    else
        free(memory_grow(NULL, count, 3));
}

/* In a child, which has to abort. */
static void ends_the_process_when_out(void **state)
{
    (void)state;
    for (int what = 0; what < 2; what++) {
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO);
            ask_for_too_much(what);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void errors_are_cut(void **state)
{
    struct error err;
    char text[1000];

    (void)state;
    assert_int_equal(error_set(&err, -5, "cannot open %s", "x"), -5);
    assert_string_equal(err.text, "cannot open x");
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(error_set(&err, 0, "%s", text), 0);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zeroed),        cmocka_unit_test(nothing_is_something_too),
        cmocka_unit_test(grows_and_copies), cmocka_unit_test(ends_the_process_when_out),
        cmocka_unit_test(errors_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
