/* Messages themselves, given out and taken in. */
#include "tests/unit/queue/admin.h"

#include "common/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t number_after(const char *key)
{
    const char *at = strstr(answer, key);

    if (at == NULL)
        fail_msg("no %s: %s", key, answer);
    return strtoull(at + strlen(key), NULL, 10);
}

static void gives_the_message_with_the_open_recipients(void **state)
{
    char *envelope, crc[32];

    (void)state;
    world_accept("a@here.test", "b@there.test c@there.test d@there.test", body);
    world_result(world_job(0), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "ok");
    world_result(world_job(0), 1, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    world_end(world_job(0));
    ask("get all");
    assert_int_equal(matched(), 1);
    assert_int_equal(number_after("\"size\":"), body.len);
    snprintf(crc, sizeof(crc), "\"crc\":\"%08x\"", crc32c(0, body));
    check("crc", answered(crc));
    envelope = strchr(answer, '\n') + 1;
    check("sender", strncmp(envelope, "from=a@here.test\n", 17) == 0);
    check("who has it is left out", !answered("rcpt=b@"));
    check("the others", answered("rcpt=c@there.test\nrcpt=d@there.test\n"));
    assert_memory_equal(envelope + number_after("\"envelope\":"), body.ptr, body.len);
    assert_int_equal(strncmp(envelope + number_after("\"envelope\":") + body.len, "{\"end\"", 6),
                     0);
    memory_store.damaged = true;
    world_restart();
    admin_connect();
    ask("get all");
    check("damaged", answered("\"reason\":") && !answered("\"envelope\""));
}

static const char envelope_text[] = "from=a@here.test\nrcpt=b@there.test\narrival=5\nheld=yes\n";

static void announce(size_t envelope_bytes, struct view content, uint32_t crc, bool hold)
{
    char line[128];
    ssize_t n;

    snprintf(line, sizeof(line), "put envelope=%zu size=%zu crc=%08x hold=%d\n", envelope_bytes,
             content.len, crc, hold);
    send_text(view_of(line));
    world_run();
    n = recv(admin, answer, sizeof(answer) - 1, 0);
    answer[n > 0 ? n : 0] = '\0';
}

static void send_in_pieces(struct view bytes, size_t size)
{
    for (; bytes.len > 0; bytes = view_from(bytes, size)) {
        send_text(view_sub(bytes, 0, size));
        world_run();
    }
}

static void takes_a_message_in(void **state)
{
    static const size_t cuts[] = { 1, 7, 100000 };
    static char large[1 << 20];
    const struct view bodies[] = { body, view_make(large, sizeof(large)) };

    (void)state;
    memset(large, 'x', sizeof(large));
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        struct view content = bodies[i / 2]; /* the last one is large */
        const struct world_job *job;

        announce(sizeof(envelope_text) - 1, content, crc32c(0, content), false);
        assert_string_equal(answer, "{\"ready\":true}\n");
        send_in_pieces(view_of(envelope_text), cuts[i]);
        send_in_pieces(content, cuts[i]);
        hear();
        check_lines();
        assert_int_equal(matched(), 1);
        job = world_job((unsigned)i);
        assert_int_equal(job->start.body_bytes, content.len);
        assert_int_equal(job->big_fd >= 0, i == 2);
    }
    announce(sizeof(envelope_text) - 1, body, crc32c(0, body), true);
    send_in_pieces(view_of(envelope_text), 100);
    send_in_pieces(body, 100);
    hear();
    ask("list state=held");
    assert_int_equal(matched(), 1);
    assert_int_equal(memory_store.changes[STORE_HOLD], 0); /* its own record says so */
    world_restart();
    close(admin);
    admin_connect();
    ask("list state=held");
    assert_int_equal(matched(), 1);
}

/* That is told by the queue that it comes from. */
static void tells_of_no_expansion_of_what_is_taken_in(void **state)
{
    static const char text[] = "from=a@here.test\nrcpt=b@there.test\nnotify=success,expanded\n"
                               "rcpt=c@there.test\nnotify=expanded\narrival=5\n";
    unsigned before = memory_store.accepted;

    (void)state;
    announce(sizeof(text) - 1, body, crc32c(0, body), false);
    send_in_pieces(view_of(text), 100);
    send_in_pieces(body, 100);
    hear();
    assert_int_equal(matched(), 1);
    assert_int_equal(memory_store.accepted - before, 1);
    world_restart();
    assert_int_equal(memory_store.accepted - before, 1);
    admin_connect();
    ask("get all");
    check("what else was asked for stays",
          answered("rcpt=b@there.test\nnotify=success\nrcpt=c@there.test\n"));
}

static void takes_in_only_whole_messages(void **state)
{
    (void)state;
    announce(sizeof(envelope_text) - 1, body, 1, false);
    send_in_pieces(view_of(envelope_text), 100);
    send_in_pieces(body, 100);
    hear();
    check("wrong crc", answered("malformed"));
    announce(8, body, crc32c(0, body), false);
    send_text(VIEW("rcpt=x@y"));
    send_in_pieces(body, 100);
    hear();
    check("wrong envelope", answered("malformed"));
    announce(0, body, 1, false);
    check("no envelope", answered("error"));
    announce(1 << 30, body, 1, false);
    check("a huge envelope", answered("error"));
    ask("put size=x");
    check("no number", answered("error"));
    announce(sizeof(envelope_text) - 1, body, crc32c(0, body), false);
    send_in_pieces(view_of(envelope_text), 100);
    close(admin); /* in the middle */
    world_run();
    admin_connect();
    memory_store.trouble = SPOOL_BROKEN;
    announce(sizeof(envelope_text) - 1, body, crc32c(0, body), false);
    send_in_pieces(view_of(envelope_text), 100);
    send_in_pieces(body, 100);
    hear();
    check("the store fails", answered("no mail now"));
    memory_store.trouble = SPOOL_FINE;
    ask("list");
    assert_int_equal(matched(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(gives_the_message_with_the_open_recipients),
        IN_WORLD(takes_a_message_in),
        IN_WORLD(tells_of_no_expansion_of_what_is_taken_in),
        IN_WORLD(takes_in_only_whole_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
