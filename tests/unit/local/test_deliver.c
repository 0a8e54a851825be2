#include "local/deliver.h"

#include "common/crc32c.h"
#include "tests/unit/local/folder.h"
#include "tests/unit/local/settings.h"

#include <sys/mman.h>

enum { RESULTS_MAX = 10 };

static struct deliver deliver;
static struct heard {
    uint32_t rcpt;
    bool last;
    struct outcome outcome;
    struct arena arena;
} heard[RESULTS_MAX];
static unsigned heard_count;

static void on_report(struct deliver *d, const struct message_rcpt_result *result, bool last)
{
    static char bytes[RESULTS_MAX][1024];
    struct heard *h = &heard[heard_count];

    (void)d;
    assert_true(heard_count < RESULTS_MAX);
    assert_int_equal(result->job, 77);
    memcpy(bytes[heard_count], result->outcome.ptr, result->outcome.len);
    arena_init(&h->arena, 4096);
    assert_true(
        outcome_decode(view_make(bytes[heard_count], result->outcome.len), &h->arena, &h->outcome));
    h->rcpt = result->rcpt;
    h->last = last;
    heard_count++;
}

static int open_all(void **state)
{
    folder_make(state);
    deliver_init(&deliver, &test_settings, folder_fd);
    deliver.report = on_report;
    heard_count = 0;
    return 0;
}

static int close_all(void **state)
{
    for (unsigned i = 0; i < heard_count; i++)
        arena_reset(&heard[i].arena);
    return folder_remove(state);
}

/* A job for the recipients, separated by blanks. */
static struct message_job_start make_job(struct view body, const char *recipients)
{
    static char text_room[4096], indexes_room[64];
    struct buf text = BUF_ON_ARRAY(text_room), indexes = BUF_ON_ARRAY(indexes_room);
    struct envelope_rcpt rcpts[RESULTS_MAX] = { 0 };
    struct envelope e = { .sender = VIEW_INIT("a@there.test"),
                          .rcpts = rcpts,
                          .arrival_ms = 1795421700123 };
    struct view rest = view_of(recipients);
    struct message_job_start job = { .job = 77,
                                     .message = 5,
                                     .attempt = 1,
                                     .body_bytes = body.len,
                                     .body_crc = crc32c(0, body),
                                     .body = body };

    while (rest.len > 0) {
        assert_true(job_index_put(&indexes, (uint32_t)e.rcpt_count));
        rcpts[e.rcpt_count++].address = view_take_word(&rest);
    }
    assert_true(envelope_encode(&e, &text));
    job.envelope = buf_view(&text);
    job.indexes = buf_view(&indexes);
    return job;
}

static void check_enhanced(const struct outcome *o, unsigned class, unsigned subject,
                           unsigned detail)
{
    assert_int_equal(o->enhanced.class, class);
    assert_int_equal(o->enhanced.subject, subject);
    assert_int_equal(o->enhanced.detail, detail);
}

static const struct view body = VIEW_INIT("Subject: x\r\n\r\nhello\r\n");

static void test_a_message_arrives(void **state)
{
    struct message_job_start job = make_job(body, "bob@here.test");

    (void)state;
    assert_true(deliver_job(&deliver, &job, -1));
    assert_int_equal(heard_count, 0);
    deliver_finish(&deliver);
    assert_int_equal(heard_count, 1);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DELIVERED);
    check_enhanced(&heard[0].outcome, 2, 0, 0);
    assert_true(heard[0].last);
    check_view("file", folder_read_only_file("bob/new"),
               VIEW("Return-Path: <a@there.test>\nDelivered-To: bob@here.test\n"
                    "Subject: x\n\nhello\n"));
}

static void test_each_recipient_has_a_result(void **state)
{
    struct message_job_start job =
        make_job(body, "alice@here.test nobody@here.test BOB@here.test bob@here.test");

    (void)state;
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard_count, 4);
    for (unsigned i = 0; i < heard_count; i++) {
        assert_int_equal(heard[i].rcpt, i);
        assert_int_equal(heard[i].last, i == 3);
        assert_int_equal(heard[i].outcome.class, i == 1 ? OUTCOME_FAILED : OUTCOME_DELIVERED);
    }
    check_enhanced(&heard[1].outcome, 5, 1, 1);
    assert_int_equal(folder_count("here.test/alice/new", NULL), 1);
    assert_int_equal(folder_count("bob/new", NULL), 2);
}

/* Nobody knows whether it is there: that is no reason to give up. */
static void test_an_unsure_mailbox_is_tried_again(void **state)
{
    struct message_job_start job = make_job(body, UNSURE_MAILBOX);

    (void)state;
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard_count, 1);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DEFERRED);
    check_enhanced(&heard[0].outcome, 4, 3, 5);
}

static void test_repeated_jobs_deliver_once(void **state)
{
    struct message_job_start job = make_job(body, "bob@here.test");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(deliver_job(&deliver, &job, -1));
        if (i != 1)
            deliver_finish(&deliver);
    }
    assert_int_equal(heard_count, 3);
    assert_int_equal(heard[2].outcome.class, OUTCOME_DELIVERED);
    assert_int_equal(folder_count("bob/new", NULL), 1);
}

/* The second time round, after another program forwarded it here. */
static void test_loops_end(void **state)
{
    const struct view looped = VIEW("Received: from x\r\n by y\r\nDelivered-To: eve@here.test\r\n"
                                    "Delivered-To:  Bob@here.test\r\n\r\nhello\r\n");
    struct message_job_start job = make_job(looped, "bob@here.test alice@here.test");

    (void)state;
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard[0].outcome.class, OUTCOME_FAILED);
    check_enhanced(&heard[0].outcome, 5, 4, 6);
    assert_int_equal(heard[1].outcome.class, OUTCOME_DELIVERED);
    assert_int_equal(folder_count("bob/new", NULL), 0);
}

static void test_only_the_header_tells_of_loops(void **state)
{
    struct message_job_start job =
        make_job(VIEW("Subject: x\r\n\r\nDelivered-To: bob@here.test\r\n"), "bob@here.test");

    (void)state;
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DELIVERED);
}

static void test_large_bodies_come_in_files(void **state)
{
    static char content[300000];
    struct message_job_start job;
    int fd = memfd_create("body", MFD_CLOEXEC);

    (void)state;
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'x';
    assert_int_equal(write(fd, content, sizeof(content)), sizeof(content));
    job = make_job(view_make(content, sizeof(content)), "bob@here.test alice@here.test");
    job.body = VIEW_EMPTY;
    job.big = true;
    assert_true(deliver_job(&deliver, &job, fd));
    deliver_finish(&deliver);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DELIVERED);
    assert_int_equal(heard[1].outcome.class, OUTCOME_DELIVERED);
    assert_int_equal(folder_read_only_file("bob/new").len,
                     sizeof(content) / 50 * 49 +
                         strlen("Return-Path: <a@there.test>\nDelivered-To: bob@here.test\n"));
    close(fd);
}

static void test_damaged_bodies_wait(void **state)
{
    struct message_job_start job = make_job(body, "bob@here.test");

    (void)state;
    job.body_crc++;
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DEFERRED);
    assert_int_equal(heard[0].outcome.scope, SCOPE_SPOOL);
    check_enhanced(&heard[0].outcome, 4, 3, 0);
    assert_int_equal(folder_count("bob/new", NULL), 0);
}

static void test_links_are_not_followed(void **state)
{
    struct message_job_start job = make_job(body, "bob@here.test alice@here.test");

    (void)state;
    assert_int_equal(symlinkat("/tmp", folder_fd, "bob"), 0);
    assert_true(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard[0].outcome.class, OUTCOME_DEFERRED);
    assert_non_null(memmem(heard[0].outcome.text.ptr, heard[0].outcome.text.len, "link", 4));
    assert_int_equal(heard[1].outcome.class, OUTCOME_DELIVERED);
}

static void test_senseless_jobs(void **state)
{
    struct message_job_start job = make_job(body, "bob@here.test");

    (void)state;
    job.body_bytes++;
    assert_false(deliver_job(&deliver, &job, -1));
    job = make_job(body, "bob@here.test");
    job.big = true;
    assert_false(deliver_job(&deliver, &job, -1));
    job = make_job(body, "");
    assert_false(deliver_job(&deliver, &job, -1));
    deliver_finish(&deliver);
    assert_int_equal(heard_count, 0);
}

int main(void)
{
#define DELIVER_TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)
    const struct CMUnitTest tests[] = {
        DELIVER_TEST(test_a_message_arrives),
        DELIVER_TEST(test_each_recipient_has_a_result),
        DELIVER_TEST(test_an_unsure_mailbox_is_tried_again),
        DELIVER_TEST(test_repeated_jobs_deliver_once),
        DELIVER_TEST(test_loops_end),
        DELIVER_TEST(test_only_the_header_tells_of_loops),
        DELIVER_TEST(test_large_bodies_come_in_files),
        DELIVER_TEST(test_damaged_bodies_wait),
        DELIVER_TEST(test_links_are_not_followed),
        DELIVER_TEST(test_senseless_jobs),
    };

    return cmocka_run_group_tests_name("deliver", tests, settings_make, settings_free);
}
