/* The user file in memory: changes arrive, mistakes do not, and those who do not exist look as if.
 */
#include "auth/users.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_users.XXXXXX", path[64], next[64];
static struct users users;

#define HEAD "tern-users-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
#define KEYS                                                                                       \
    " SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"

static void write_file(const char *text)
{
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(rename(next, path), 0);
}

static void test_changes(void **state)
{
    struct user *bob;

    (void)state;
    users_init(&users, path);
    check("missing", !users_look(&users, 1000));
    write_file(HEAD "bob" KEYS);
    check("not looked at yet", !users_look(&users, 1999));
    check("read", users_look(&users, 2000));
    bob = users_find(&users, VIEW("BOB"));
    assert_non_null(bob);
    check("no password was seen", !users_recognize(&users, bob, VIEW("pencil")));
    users_remember(&users, bob, VIEW("pencil"));
    check("recognized", users_recognize(&users, bob, VIEW("pencil")));
    check("another is not", !users_recognize(&users, bob, VIEW("pencils")));
    write_file(HEAD "bob" KEYS "alice" KEYS);
    check("changed", users_look(&users, 3000));
    assert_non_null(users_find(&users, VIEW("alice")));
    bob = users_find(&users, VIEW("bob"));
    check("remembered", users_recognize(&users, bob, VIEW("pencil")));
    write_file(HEAD "bob" KEYS "carol\n");
    check("a mistake changes nothing", users_look(&users, 4000));
    assert_non_null(users_find(&users, VIEW("alice")));
    unlink(path);
    check("nor does a loss", users_look(&users, 5000));
    assert_non_null(users_find(&users, VIEW("alice")));
    users_release(&users);
}

static void test_mistakes(void **state)
{
    static const char *const bad[] = {
        "", "bob" KEYS, HEAD "bob\n", HEAD "bob" KEYS "Bob" KEYS, HEAD "\nbob" KEYS,
    };
    struct error err;

    (void)state;
    users_init(&users, path);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check(bad[i], !users_parse(&users, view_of(bad[i]), &err));
    check("only a head", users_parse(&users, VIEW(HEAD), &err));
    users_release(&users);
}

static void test_nobody(void **state)
{
    struct scram_keys a, b, c;
    struct error err;

    (void)state;
    users_init(&users, path);
    assert_true(users_parse(&users, VIEW(HEAD "bob" KEYS), &err));
    users_make_keys(&users, VIEW("mallory"), &a);
    users_make_keys(&users, VIEW("Mallory"), &b);
    users_make_keys(&users, VIEW("eve"), &c);
    assert_int_equal(a.iterations, 4096);
    assert_int_equal(a.salt_len, b.salt_len);
    assert_memory_equal(a.salt, b.salt, a.salt_len);
    check("salts differ", memcmp(a.salt, c.salt, a.salt_len) != 0);
    check("keys differ", memcmp(a.stored, b.stored, sizeof(a.stored)) != 0);
    users_release(&users);
    users_init(&users, path); /* after a restart */
    assert_true(users_parse(&users, VIEW(HEAD "bob" KEYS), &err));
    users_make_keys(&users, VIEW("mallory"), &b);
    assert_memory_equal(a.salt, b.salt, a.salt_len);
    users_release(&users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_nobody),
    };
    int failed;

    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    (void)snprintf(path, sizeof(path), "%s/users", folder);
    (void)snprintf(next, sizeof(next), "%s/next", folder);
    failed = cmocka_run_group_tests_name("users", tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
