#include "delivery/job.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name;
    struct view body, sent;
} contents[] = {
    { "empty", VIEW_INIT(""), VIEW_INIT(".\r\n") },
    { "a line", VIEW_INIT("hello\r\n"), VIEW_INIT("hello\r\n.\r\n") },
    { "dots", VIEW_INIT(".\r\n..\r\na.b\r\n.c\r\n"),
      VIEW_INIT("..\r\n...\r\na.b\r\n..c\r\n.\r\n") },
    { "a header", VIEW_INIT("A: b\r\n\r\n.\r\n"), VIEW_INIT("A: b\r\n\r\n..\r\n.\r\n") },
    { "the last line is open", VIEW_INIT("hello"), VIEW_INIT("hello\r\n.\r\n") },
};

enum where { IN_PACKET, IN_PARTS, IN_FILE, PLACES };
static const char *const place_names[] = { "in the packet", "in parts", "in a file" };

static char packet_room[CHANNEL_PACKET_MAX], indexes_room[64];

static struct message_job_start start_of(struct view body)
{
    struct buf indexes = BUF_ON_ARRAY(indexes_room);
    struct message_job_start m = { .job = 7,
                                   .message = 1,
                                   .hop_kind = HOP_MX,
                                   .hop_name = VIEW_INIT("b.test"),
                                   .host = VIEW_INIT("b.test"),
                                   .body_bytes = body.len,
                                   .body_crc = crc32c(0, body),
                                   .envelope = VIEW_INIT("from=s@a.test\nrcpt=a@b.test\n"
                                                         "notify=never\nrcpt=b@b.test\n"
                                                         "arrival=1\nenvid=x\n"),
                                   .body = body };

    assert_true(job_index_put(&indexes, 3) && job_index_put(&indexes, 9));
    m.indexes = buf_view(&indexes);
    return m;
}

static struct job *decode(const struct message_job_start *m, struct job_body *parts, int fd)
{
    struct buf packet = BUF_ON_ARRAY(packet_room);
    enum message type;
    struct view fields;

    assert_true(message_job_start_encode(m, &packet));
    assert_true(message_open(buf_view(&packet), &type, &fields));
    return job_new(fields, parts, fd);
}

static int make_file(struct view body)
{
    int fd = memfd_create("body", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(body.len == 0 || write(fd, body.ptr, body.len) == (ssize_t)body.len);
    return fd;
}

static struct job *make_job(struct view body, enum where where)
{
    struct message_job_start m = start_of(body);
    struct job_body *parts = NULL;
    int fd = -1;

    if (where == IN_PARTS) {
        parts = memory_new(sizeof(*parts));
        parts->len = body.len / 2;
        parts->bytes = memory_copy(view_sub(body, 0, parts->len));
        m.body = view_from(body, parts->len);
    } else if (where == IN_FILE) {
        m.big = true;
        m.body = VIEW_EMPTY;
        fd = make_file(body);
    }
    return decode(&m, parts, fd);
}

/* Everything that the job puts into a buffer of `room` bytes, emptied as often as it is needed. */
static enum job_content drain(struct job *j, size_t room, struct buf *all)
{
    char *bytes = memory_new(room);
    enum job_content result;

    do {
        struct buf out = buf_on(bytes, room);

        result = job_put_content(j, &out);
        assert_true(buf_put(all, buf_view(&out)));
    } while (result == JOB_CONTENT_MORE);
    free(bytes);
    return result;
}

static void sends_content(void **state)
{
    char room[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        for (unsigned where = 0; where < PLACES; where++) {
            struct job *j = make_job(contents[i].body, (enum where)where);

            check(contents[i].name, j != NULL);
            for (size_t size = 5; size < 40; size++) {
                struct buf all = BUF_ON_ARRAY(room);

                job_rewind(j);
                check(place_names[where], drain(j, size, &all) == JOB_CONTENT_DONE);
                check_view(contents[i].name, buf_view(&all), contents[i].sent);
            }
            job_free(&j);
        }
    }
}

/* Larger than a piece that is read at once, with a dot at every line and so at every cut. */
static void sends_a_large_file(void **state)
{
    size_t len = 3 * JOB_PIECE_BYTES + 6, lines = len / 3;
    char *bytes = memory_new(len);
    struct job *j;
    struct buf all;

    (void)state;
    for (size_t i = 0; i < len; i++)
        bytes[i] = ".\r\n"[i % 3];
    j = make_job(view_make(bytes, len), IN_FILE);
    buf_new(&all, len * 2);
    assert_non_null(j);
    assert_int_equal(drain(j, 16384, &all), JOB_CONTENT_DONE);
    assert_int_equal(buf_len(&all), lines * 4 + 3);
    for (size_t i = 0; i < lines; i++)
        assert_memory_equal(buf_view(&all).ptr + i * 4, "..\r\n", 4);
    buf_free(&all);
    job_free(&j);
    free(bytes);
}

/* As it came; and the last byte of what is damaged never. */
static void sends_chunks(void **state)
{
    char room[256], small[7];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        for (unsigned where = 0; where < PLACES; where++) {
            for (unsigned damaged = 0; damaged < 2; damaged++) {
                struct job *j = make_job(contents[i].body, (enum where)where);
                struct buf all = BUF_ON_ARRAY(room);
                enum job_content result;

                check(contents[i].name, j != NULL);
                j->start.body_crc ^= damaged;
                do {
                    struct buf out = BUF_ON_ARRAY(small);

                    result = job_put_chunk(j, &out);
                    assert_true(buf_put(&all, buf_view(&out)));
                } while (result == JOB_CONTENT_MORE);
                check(place_names[where],
                      result == (damaged != 0 ? JOB_CONTENT_DAMAGED : JOB_CONTENT_DONE));
                if (damaged == 0)
                    check_view(contents[i].name, buf_view(&all), contents[i].body);
                else
                    check(contents[i].name,
                          contents[i].body.len == 0 || buf_len(&all) < contents[i].body.len);
                job_free(&j);
            }
        }
    }
}

static void refuses_damage(void **state)
{
    struct message_job_start m = start_of(VIEW("hello\r\n"));
    char room[64];
    struct buf all = BUF_ON_ARRAY(room);
    struct job *j;

    (void)state;
    m.body_crc++;
    j = decode(&m, NULL, -1);
    assert_non_null(j);
    assert_int_equal(drain(j, 64, &all), JOB_CONTENT_DAMAGED);
    assert_true(view_equal(buf_view(&all), VIEW("hello\r\n")));
    assert_int_equal(job_damage(j)->scope, SCOPE_SPOOL);
    job_free(&j);

    buf_clear(&all);
    m = start_of(VIEW("hello\r\n"));
    m.big = true;
    m.body = VIEW_EMPTY;
    j = decode(&m, NULL, make_file(VIEW("hell")));
    assert_non_null(j);
    assert_int_equal(drain(j, 64, &all), JOB_CONTENT_DAMAGED);
    assert_true(view_equal(buf_view(&all), VIEW("hell")));
    assert_int_equal(job_damage(j)->scope, SCOPE_SPOOL);
    job_free(&j);
}

/* The disk may do better next time. */
static void tells_a_bad_disk_from_damage(void **state)
{
    struct message_job_start m = start_of(VIEW("hello\r\n"));
    char room[64];
    struct buf all = BUF_ON_ARRAY(room);
    struct job *j;

    (void)state;
    m.big = true;
    m.body = VIEW_EMPTY;
    j = decode(&m, NULL, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); /* EISDIR */
    assert_non_null(j);
    assert_int_equal(drain(j, 64, &all), JOB_CONTENT_DAMAGED);
    assert_int_equal(job_damage(j)->scope, SCOPE_DISK);
    job_free(&j);
}

static void refuses_nonsense(void **state)
{
    struct message_job_start m;

    (void)state;
    m = start_of(VIEW("hello\r\n"));
    m.body_bytes++;
    assert_null(decode(&m, NULL, -1)); /* a body that is too short */
    m = start_of(VIEW("hello\r\n"));
    m.big = true;
    assert_null(decode(&m, NULL, -1)); /* a file that is not there */
    m = start_of(VIEW("hello\r\n"));
    assert_null(decode(&m, NULL, make_file(VIEW("x")))); /* one that nobody spoke of */
    m = start_of(VIEW("hello\r\n"));
    m.envelope = VIEW("from=s@a.test\narrival=1\n");
    assert_null(decode(&m, NULL, -1)); /* nobody to send it to */
    m.envelope = VIEW("from=s@a.test\nrcpt=a@b.test\narrival=1\n");
    assert_null(decode(&m, NULL, -1)); /* an index is left over */
    m = start_of(VIEW("hello\r\n"));
    m.indexes.len -= 4;
    assert_null(decode(&m, NULL, -1)); /* one is missing */
    m = start_of(VIEW("hello\r\n"));
    m.hop_kind = HOP_LOCAL;
    assert_null(decode(&m, NULL, -1));
}

static void counts_decisions(void **state)
{
    static const struct outcome o = { .class = OUTCOME_FAILED, .enhanced = { 5, 0, 0 } };
    struct job *j = make_job(VIEW("x\r\n"), IN_PACKET);

    (void)state;
    assert_true(job_is_untouched(j));
    assert_int_equal(j->indexes[1], 9);
    check_view("all of the envelope", j->envelope.envelope_id, VIEW("x"));
    assert_int_equal(j->envelope.rcpts[0].notify, NOTIFY_NEVER);
    job_decide(j, 1, &o, 0);
    assert_false(job_is_untouched(j));
    assert_int_equal(j->undecided, 1);
    job_decide_rest(j, &o, 0);
    assert_int_equal(j->undecided, 0);
    job_free(&j);
}

/* Too many for a transaction: what becomes of that one says nothing of the next. */
static void keeps_who_was_too_many_for_the_next_transaction(void **state)
{
    static const struct outcome o = { .class = OUTCOME_DELIVERED, .enhanced = { 2, 0, 0 } };
    static const struct ext plain = { .pipelining = true };
    struct job_domains domains = { .count = 0 };
    struct outcome why;
    struct job *j = make_job(VIEW("x\r\n"), IN_PACKET);

    (void)state;
    assert_int_equal(job_prepare(j, &plain, &domains, &why), JOB_FITS);
    assert_int_equal(j->message.rcpt_count, 2);
    job_put_off(j, 1);
    job_decide_message(j, &o, 0);
    assert_int_equal(j->undecided, 1);
    assert_int_equal(job_prepare(j, &plain, &domains, &why), JOB_FITS);
    assert_int_equal(j->message.rcpt_count, 1);
    assert_int_equal(j->message.rcpts[0], 1);
    job_decide_message(j, &o, 0);
    assert_int_equal(j->undecided, 0);
    job_free(&j);
}

/* What a host without SMTPUTF8 cannot take is decided; what it can, it gets. */
static void prepares_a_transaction(void **state)
{
    static const struct ext plain = { .pipelining = true }, utf8 = { .utf8 = true };
    struct message_job_start m = start_of(VIEW("x\r\n"));
    struct job_domains domains = { .count = 0 };
    struct outcome why;
    struct job *j;

    (void)state;
    m.envelope = VIEW("from=s@a.test\nrcpt=b\xc3\xb6@b.test\nrcpt=b@b\xc3\xb6.test\narrival=1\n");
    j = decode(&m, NULL, -1);
    assert_non_null(j);
    assert_int_equal(job_prepare(j, &utf8, &domains, &why), JOB_FITS);
    assert_int_equal(j->message.rcpt_count, 2);
    assert_int_equal(job_prepare(j, &plain, &domains, &why), JOB_FITS);
    assert_int_equal(j->message.rcpt_count, 1);
    assert_int_equal(j->message.rcpts[0], 1);
    assert_int_equal(j->undecided, 2); /* another host may take the other */
    job_free(&j);
    m.envelope = VIEW("from=s@a.test\nrcpt=b\xc3\xb6@b.test\nrcpt=\xc3\xb6@b.test\narrival=1\n");
    j = decode(&m, NULL, -1);
    assert_non_null(j);
    assert_int_equal(job_prepare(j, &plain, &domains, &why), JOB_NEEDS_HOST);
    assert_int_equal(why.class, OUTCOME_FAILED);
    assert_int_equal(why.enhanced.detail, 7);
    assert_int_equal(j->undecided, 2);
    job_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_content),
        cmocka_unit_test(sends_a_large_file),
        cmocka_unit_test(sends_chunks),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(tells_a_bad_disk_from_damage),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(counts_decisions),
        cmocka_unit_test(prepares_a_transaction),
        cmocka_unit_test(keeps_who_was_too_many_for_the_next_transaction),
    };

    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
