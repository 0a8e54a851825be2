#include "local/maildir.h"

#include "tests/unit/local/folder.h"

#include <errno.h>

static struct maildir_file file;
static const struct maildir_id id = {
    .arrival_ms = 1795421700123, .message = 0x19a2c, .rcpt = 3, .hostname = VIEW_INIT("mx.test")
};

static void write_all(const struct maildir *box, struct view content, size_t most, uint64_t *seed)
{
    assert_int_equal(maildir_create(&file, box, &id), 0);
    while (content.len > 0) {
        struct view piece = view_sub(content, 0, 1 + (size_t)random_below(seed, most));

        assert_int_equal(maildir_write(&file, piece), 0);
        content = view_from(content, piece.len);
    }
}

static void test_makes_what_is_missing(void **state)
{
    static const char *const folders[] = { "here.test", "here.test/bob", "here.test/bob/tmp",
                                           "here.test/bob/new", "here.test/bob/cur" };
    struct maildir box;
    struct stat st;

    (void)state;
    umask(0);
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("here.test/bob")), 0);
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        assert_int_equal(fstatat(folder_fd, folders[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode, S_IFDIR | 0700);
    }
    maildir_close(&box);
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("here.test/bob")), 0);
    maildir_close(&box);
}

static void test_name_and_times(void **state)
{
    char name[NAME_MAX + 1], path[NAME_MAX + 64];
    struct maildir box;
    struct stat st;
    uint64_t seed = 1;

    (void)state;
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    write_all(&box, VIEW("Subject: x\r\n\r\nhello\r\n"), 100, &seed);
    assert_int_equal(folder_count("bob/new", NULL), 0);
    assert_int_equal(maildir_publish(&file), 0);
    assert_int_equal(maildir_sync(&box), 0);
    assert_int_equal(folder_count("bob/tmp", NULL), 0);
    assert_int_equal(folder_count("bob/new", name), 1);
    assert_string_equal(name, "1795421700.M123000T0000000000019a2cR3.mx.test,S=18,W=21");
    snprintf(path, sizeof(path), "bob/new/%s", name);
    assert_int_equal(fstatat(folder_fd, path, &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, 18);
    assert_int_equal(st.st_mtim.tv_sec, 1795421700);
    assert_int_equal(st.st_mtim.tv_nsec, 123000000);
    maildir_close(&box);
}

/* Whatever way the content is cut. */
static void test_line_ends(void **state)
{
    static const struct {
        const char *name;
        struct view content, file;
    } cases[] = {
        { "lines", VIEW_INIT("a\r\n\r\nb\r\n"), VIEW_INIT("a\n\nb\n") },
        { "bare CR stays", VIEW_INIT("a\rb\r\r\nc\r\n"), VIEW_INIT("a\rb\r\nc\n") },
        { "CR at the end", VIEW_INIT("a\r\nb\r"), VIEW_INIT("a\nb\r") },
        { "bare LF stays", VIEW_INIT("a\nb\n"), VIEW_INIT("a\nb\n") },
        { "nothing", VIEW_INIT(""), VIEW_INIT("") },
    };
    struct maildir box;
    uint64_t seed = 1;

    (void)state;
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t most = 1; most < 6; most++) {
            char name[NAME_MAX + 1];

            write_all(&box, cases[i].content, most, &seed);
            assert_int_equal(maildir_publish(&file), 0);
            check_view(cases[i].name, folder_read_only_file("bob/new"), cases[i].file);
            folder_count("bob/new", name);
            assert_int_equal(unlinkat(box.new_fd, name, 0), 0);
        }
    }
    maildir_close(&box);
}

static void test_more_than_the_room(void **state)
{
    static char content[5 * MAILDIR_ROOM / 2];
    struct maildir box;
    struct view got;
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : (char)('a' + i % 26);
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    write_all(&box, view_make(content, sizeof(content)), 100000, &seed);
    assert_int_equal(maildir_publish(&file), 0);
    got = folder_read_only_file("bob/new");
    assert_int_equal(got.len, sizeof(content) - (sizeof(content) + 49) / 50 + 1);
    assert_memory_equal(got.ptr, content, 48);
    assert_int_equal(got.ptr[48], '\n');
    maildir_close(&box);
}

/* A crash may come at any time: before the link, after it, after the sync. */
static void test_delivered_once(void **state)
{
    const struct view content = VIEW("Subject: x\r\n\r\nhello\r\n");
    char name[NAME_MAX + 1], first[NAME_MAX + 1];
    struct maildir box;
    uint64_t seed = 1;

    (void)state;
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    write_all(&box, content, 100, &seed); /* and no further */
    close(file.fd);
    assert_int_equal(folder_count("bob/tmp", first), 1);
    write_all(&box, content, 100, &seed);
    assert_int_equal(maildir_publish(&file), 0);
    assert_int_equal(folder_count("bob/new", name), 1);
    /* linked, but still in tmp/ */
    assert_int_equal(linkat(box.new_fd, name, box.tmp_fd, first, 0), 0);
    write_all(&box, content, 100, &seed);
    assert_int_equal(maildir_publish(&file), 0);
    assert_int_equal(folder_count("bob/new", NULL), 1);
    assert_int_equal(folder_count("bob/tmp", NULL), 0);
    check_view("content", folder_read_only_file("bob/new"), VIEW("Subject: x\n\nhello\n"));
    maildir_close(&box);
}

static void test_discarded(void **state)
{
    struct maildir box;
    uint64_t seed = 1;

    (void)state;
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    write_all(&box, VIEW("hello\r\n"), 100, &seed);
    maildir_discard(&file);
    assert_int_equal(folder_count("bob/tmp", NULL), 0);
    assert_int_equal(folder_count("bob/new", NULL), 0);
    maildir_close(&box);
}

static void test_follows_no_link(void **state)
{
    struct maildir box;

    (void)state;
    assert_int_equal(mkdirat(folder_fd, "outside", 0700), 0);
    assert_int_equal(symlinkat("outside", folder_fd, "bob"), 0);
    assert_true(maildir_open(&box, folder_fd, VIEW("bob")) < 0);
    assert_int_equal(box.tmp_fd, -1);
    assert_int_equal(mkdirat(folder_fd, "eve", 0700), 0);
    assert_int_equal(symlinkat("../outside", folder_fd, "eve/new"), 0);
    assert_true(maildir_open(&box, folder_fd, VIEW("eve")) < 0);
    assert_int_equal(box.tmp_fd, -1);
    assert_int_equal(folder_count("outside", NULL), 0);
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("")), -EINVAL);
}

/* A host name as long as they come still leaves room for the sizes. */
static void test_long_host_name(void **state)
{
    static char host[253];
    struct maildir_id long_id = id;
    char name[NAME_MAX + 1];
    struct maildir box;

    (void)state;
    memset(host, 'h', sizeof(host));
    long_id.hostname = view_make(host, sizeof(host));
    assert_int_equal(maildir_open(&box, folder_fd, VIEW("bob")), 0);
    assert_int_equal(maildir_create(&file, &box, &long_id), 0);
    assert_int_equal(maildir_write(&file, VIEW("x\r\n")), 0);
    assert_int_equal(maildir_publish(&file), 0);
    assert_int_equal(folder_count("bob/new", name), 1);
    assert_non_null(strstr(name, ",S=2,W=3"));
    maildir_close(&box);
}

int main(void)
{
#define MAILDIR_TEST(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        MAILDIR_TEST(test_makes_what_is_missing),
        MAILDIR_TEST(test_name_and_times),
        MAILDIR_TEST(test_line_ends),
        MAILDIR_TEST(test_more_than_the_room),
        MAILDIR_TEST(test_delivered_once),
        MAILDIR_TEST(test_discarded),
        MAILDIR_TEST(test_follows_no_link),
        MAILDIR_TEST(test_long_host_name),
    };

    return cmocka_run_group_tests_name("maildir", tests, NULL, NULL);
}
