#include "queue/control.h"

#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "io/json.h"
#include "queue/tlsnote.h"
#include "tests/unit/queue/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static char answer[4 << 20];
static size_t answer_len;
static int admin = -1;

/* The administrator's end of a connection. */
static void connect_admin(void)
{
    char folder[] = "/tmp/tern-control-XXXXXX";
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_non_null(mkdtemp(folder));
    snprintf(where.sun_path, sizeof(where.sun_path), "%s/control", folder);
    assert_int_equal(bind(listener, (const struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(listen(listener, 5), 0);
    control_listen(world.queue.control, listener);
    admin = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(admin, (const struct sockaddr *)&where, sizeof(where)), 0);
    unlink(where.sun_path);
    rmdir(folder);
    world_run();
}

static int set_up(void **state)
{
    world_open(state);
    connect_admin();
    return 0;
}

static int tear_down(void **state)
{
    if (admin >= 0)
        close(admin);
    admin = -1;
    return world_close(state);
}

static void send_text(struct view text)
{
    assert_int_equal(send(admin, text.ptr, text.len, MSG_NOSIGNAL), text.len);
}

static bool answer_ended(void)
{
    struct view all = view_make(answer, answer_len);
    size_t last = all.len == 0 ? 0 : view_find_last(view_sub(all, 0, all.len - 1), '\n');
    struct view line = view_from(all, last + 1 < all.len ? last + 1 : 0);

    return view_starts(line, VIEW("{\"end\":")) || view_starts(line, VIEW("{\"error\":"));
}

/* Reads slowly, so that the queue has to wait for its reader. */
static void hear(void)
{
    answer_len = 0;
    for (int i = 0; i < 20000 && !answer_ended(); i++) {
        ssize_t n;

        world_run();
        n = recv(admin, answer + answer_len, MIN(sizeof(answer) - 1 - answer_len, 20000u), 0);
        if (n > 0)
            answer_len += (size_t)n;
    }
    assert_true(answer_ended());
    answer[answer_len] = '\0';
}

static void ask(const char *request)
{
    send_text(view_of(request));
    send_text(VIEW("\n"));
    hear();
}

static bool answered(const char *text)
{
    return strstr(answer, text) != NULL;
}

static uint64_t matched(void)
{
    const char *end = strstr(answer, "{\"end\":true,\"matched\":");

    if (end == NULL)
        fail_msg("no end: %s", answer);
    return strtoull(strstr(end, "matched\":") + strlen("matched\":"), NULL, 10);
}

/* Every line of the answer has to be JSON. */
static void check_lines(void)
{
    struct view rest = view_make(answer, answer_len), line;

    while (view_take_line(&rest, &line)) {
        struct json *j = json_parse(line);

        if (j == NULL || !json_is_object(json_root(j)))
            fail_msg("not an object: %.*s", VIEW_ARG(line));
        json_free(&j);
    }
}

static void stored(struct store_commit *c, enum spool_trouble trouble)
{
    (void)c;
    assert_int_equal(trouble, SPOOL_FINE);
}

static void ask_about(const char *verb, uint64_t id)
{
    char request[64];

    snprintf(request, sizeof(request), "%s id=%016llx", verb, (unsigned long long)id);
    ask(request);
}

/* Its checksum holds, but the envelope makes no sense. */
static void an_envelope_without_sense_is_for_the_administrator(void **state)
{
    struct store_commit c = { .envelope = VIEW("from=a@here.test\nrcpt=@@\nrcpt=b@there.test\n"),
                              .body = body,
                              .body_bytes = body.len,
                              .body_crc = crc32c(0, body),
                              .big_fd = -1,
                              .done = stored };
    static const uint32_t second = 1;
    struct store_outcome o = { .rcpts = &second, .rcpt_count = 1, .state = STORE_DELIVERED };

    (void)state;
    store_accept(world.queue.store, &c);
    world_run();
    o.message = c.id;
    store_settle(world.queue.store, &o, NULL);
    world_run();
    world_restart();
    close(admin);
    connect_admin();
    ask("list");
    check_lines();
    check("in the list", matched() == 1 && answered("\"state\":\"held\""));
    ask("status");
    check("an alarm", answered("\"alarm\":\"damaged\",\"what\":\"1 damaged places"));
    world_pass(30 * MINUTE);
    check("not tried", world.job_count == 0);
    ask_about("get", c.id);
    check("as it is", answered("\nfrom=a@here.test\nrcpt=@@\nrcpt=b@there.test\nSubject: lunch"));
    ask_about("release", c.id);
    world_run();
    ask("list");
    check("held again", matched() == 1 && answered("\"state\":\"held\""));
    ask_about("delete", c.id);
    ask("list state=deleted");
    check("in the trash", matched() == 1);
    world_pass(25 * 60 * MINUTE);
    check("gone", memory_store.live == 0);
}

static void tells_why_each_message_waits(void **state)
{
    static const struct {
        const char *name, *text;
    } parts[] = {
        { "state", "\"state\":\"deferred\"" },
        { "sender", "\"sender\":\"a@here.test\"" },
        { "size", "\"size\":28" },
        { "attempts", "\"attempts\":1" },
        { "next", "\"next_at\":\"2026-11-23T08:16:00.000Z\"" },
        { "arrived", "\"arrived\":\"2026-11-23T08:15:00.000Z\"" },
        { "expires", "\"expires_at\":\"2026-11-24T08:15:00.000Z\"" },
        { "reason", "\"reason\":\"451 4.1.1 come \\\"later\\\" (mx.there.test[192.0.2.1]:25, while "
                    "sending RCPT TO)\"" },
        { "recipient", "\"addr\":\"b@there.test\"" },
        { "destination", "\"destination\":\"there.test\"" },
        { "code", "\"code\":451" },
        { "stage", "\"stage\":\"sending RCPT TO\"" },
    };

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "come \"later\"");
    ask("list");
    assert_int_equal(matched(), 1);
    check_lines();
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        check(parts[i].name, answered(parts[i].text));
}

static void names_the_states(void **state)
{
    uint64_t held;
    char request[64];

    (void)state;
    world_accept("a@here.test", "b@active.test", body);
    world_accept("a@here.test", "b@deferred.test", body);
    world_answer(world_job(1), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    world_accept("a@here.test", "b@waiting.test", body);
    world_answer(world_job(2), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "connection refused");
    held = world_accept("a@here.test", "b@held.test", body);
    world_answer(world_job(3), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    snprintf(request, sizeof(request), "hold id=%016llx", (unsigned long long)held);
    ask(request);
    assert_int_equal(matched(), 1);
    world_lose_worker(&world.workers[0]);
    world_accept("a@here.test", "b@ready.test", body);
    ask("list state=active");
    assert_int_equal(matched(), 0);
    ask("list state=ready");
    assert_int_equal(matched(), 2); /* the lost job, too */
    ask("list state=deferred");
    assert_true(matched() == 1 && answered("b@deferred.test"));
    ask("list state=waiting");
    assert_true(matched() == 1 && answered("b@waiting.test") && answered("connection refused"));
    ask("list state=held");
    assert_true(matched() == 1 && answered("b@held.test") && answered("held by"));
    ask("status");
    check_lines();
    assert_true(answered("\"ready\":2") && answered("\"deferred\":1") && answered("\"waiting\":1"));
    assert_true(answered("\"destination\":\"waiting.test\""));
}

static void finds_by_what_is_asked(void **state)
{
    static const struct {
        const char *request;
        uint64_t count;
    } cases[] = {
        { "list", 4 },
        { "list all=1", 4 },
        { "list sender=a@here.test", 2 },
        { "list sender=A@HERE.test", 2 },
        { "list sender=<>", 1 },
        { "list sender=", 1 },
        { "list recipient=b@x.test", 2 },
        { "list domain=x.test", 3 },
        { "list domain=X.TEST sender=a@here.test", 2 },
        { "list domain=y.test recipient=b@x.test", 0 },
        { "list domain=test", 0 },
        { "list sender=o%20dd%25@here.test", 0 },
        { "list id=77", 0 },
        { "list sender=a%40here.test", 2 },
    };

    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    world_accept("a@here.test", "c@x.test d@y.test", body);
    world_accept("", "b@x.test", body);
    world_accept("z@here.test", "d@y.test", body);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ask(cases[i].request);
        check_lines();
        check(cases[i].request, matched() == cases[i].count);
    }
}

static void refuses_what_it_does_not_understand(void **state)
{
    static const struct {
        const char *request, *words;
    } cases[] = {
        { "", "no such request" },         { "dance", "no such request" },
        { "list colour=red", "a filter" }, { "list id=xyz", "a filter" },
        { "list state=lost", "a filter" }, { "list sender=%4", "a filter" },
        { "delete", "which messages?" },   { "hold", "which messages?" },
        { "show", "which messages?" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ask(cases[i].request);
        check_lines();
        check(cases[i].request, answered(cases[i].words));
    }
}

static void shows_what_is_done_besides(void **state)
{
    struct world_job *j;

    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test", body);
    j = world_job(0);
    world_result(j, 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_result(j, 1, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    world_end(j);
    ask("list");
    assert_false(answered("b@x.test"));
    ask("show all=1");
    check_lines();
    assert_true(answered("{\"addr\":\"b@x.test\",\"state\":\"done\"}"));
    assert_true(answered("c@x.test"));
}

static void acts_on_many(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        world_accept("a@here.test", i % 2 == 0 ? "b@x.test" : "b@y.test", body);
    for (unsigned i = 0; i < world.job_count; i++)
        world_answer(world_job(i), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    ask("hold domain=x.test");
    assert_int_equal(matched(), 10);
    assert_int_equal(world.queue.index.held_count, 10);
    ask("delete domain=y.test");
    assert_int_equal(matched(), 10);
    ask("list");
    assert_int_equal(matched(), 10);
    ask("undelete recipient=b@x.test");
    assert_int_equal(matched(), 0);
    ask("undelete recipient=b@y.test");
    assert_int_equal(matched(), 10);
    ask("delete recipient=b@y.test");
    ask("delete state=deleted");
    assert_int_equal(matched(), 10);
    assert_int_equal(memory_store.live, 10);
    ask("release all=1");
    assert_int_equal(matched(), 10);
    assert_int_equal(world.queue.index.held_count, 0);
    ask("delete all=1");
    assert_int_equal(memory_store.live, 10);
    ask("delete state=deleted");
    assert_int_equal(memory_store.live, 4); /* a worker has them */
    for (unsigned i = 20; i < 24; i++)
        world_end(world_job(i));
    assert_int_equal(memory_store.live, 0);
    assert_int_equal(memory_store.changes[STORE_RELEASE], 10);
}

static void changes_nothing_while_the_store_is_behind(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    memory_store.behind = true;
    send_text(VIEW("hold all=1\n"));
    world_pass(SECOND);
    assert_int_equal(world.queue.index.held_count, 0);
    memory_store.behind = false;
    world_pass(SECOND);
    hear();
    assert_int_equal(matched(), 1);
    assert_int_equal(world.queue.index.held_count, 1);
}

static void tells_of_a_destination_that_is_tried_at_once(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "no route");
    ask("retry domain=x.test");
    assert_int_equal(matched(), 1);
    assert_int_equal(world.job_count, 2);
}

static void streams_long_lists(void **state)
{
    enum { MANY = 3000 };
    unsigned lines = 0;

    (void)state;
    world_lose_worker(&world.workers[0]);
    for (int i = 0; i < MANY; i++)
        world_accept("a@here.test", "somebody@far-away.test", body);
    ask("list");
    assert_int_equal(matched(), MANY);
    for (size_t i = 0; i < answer_len; i++)
        lines += answer[i] == '\n';
    assert_int_equal(lines, MANY + 1);
}

static void answers_one_request_after_the_other(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    send_text(VIEW("status\nlist\nli"));
    hear();
    while (!answered("b@x.test")) /* of the second */
        hear();
    send_text(VIEW("st\n"));
    hear();
    assert_true(answered("b@x.test"));
}

static void ends_with_its_client(void **state)
{
    char byte;

    (void)state;
    send_text(VIEW("status\n"));
    shutdown(admin, SHUT_WR);
    hear();
    world_run();
    assert_int_equal(recv(admin, &byte, 1, 0), 0);
    close(admin);
    connect_admin();
    send_text(VIEW("list\n"));
    close(admin); /* before the answer */
    admin = -1;
    world_run();
    connect_admin();
    ask("list");
    assert_int_equal(matched(), 0);
}

/* ---- messages themselves ---- */

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
    connect_admin();
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
    connect_admin();
    ask("list state=held");
    assert_int_equal(matched(), 1);
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
    connect_admin();
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

static void survives_garbage(void **state)
{
    char junk[70000];
    uint64_t chance = 3;

    (void)state;
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)random_below(&chance, 256);
    (void)!send(admin, junk, sizeof(junk), MSG_NOSIGNAL);
    for (int i = 0; i < 50; i++) {
        world_run();
        (void)!recv(admin, answer, sizeof(answer), 0);
    }
    memset(junk, 'x', sizeof(junk)); /* a line without an end */
    for (int i = 0; i < 10; i++) {
        (void)!send(admin, junk, sizeof(junk), MSG_NOSIGNAL);
        world_run();
    }
    close(admin);
    world_run();
    connect_admin();
    ask("status");
    assert_int_equal(matched(), 1);
}

static void raises_alarms_about_the_spool(void **state)
{
    (void)state;
    ask("status");
    assert_true(answered("\"alarms\":[]"));
    memory_store.numbers = (struct store_numbers){ .trouble = SPOOL_SUSPENDED, .syncs_failed = 2 };
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"spool_suspended\",\"what\":\"writing to the spool fails"));
    assert_true(answered("\"what\":\"2 writes to the spool failed since the start\",\"do\":"));
    assert_false(answered("\"alarm\":\"damaged\""));
    memory_store.numbers = (struct store_numbers){ .trouble = SPOOL_FULL, .damaged = 1 };
    ask("status");
    check_lines();
    assert_true(answered("\"alarms\":[{\"alarm\":\"spool_full\""));
    assert_true(answered("{\"alarm\":\"damaged\",\"what\":\"1 damaged places"));
    assert_false(answered("\"alarm\":\"syncs_failed\""));
}

static void tells_what_cannot_be_read(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);

    (void)state;
    memory_store.unreadable = EIO;
    world_restart(); /* it is not in memory any more */
    connect_admin();
    world_pass(10 * SECOND);
    ask_about("show", id);
    check_lines();
    assert_true(answered("\"state\":\"deferred\""));
    assert_true(answered("\"next_at\":"));
    assert_true(answered("\"reason\":\"cannot be read from the spool: Input/output error\""));
    ask("status");
    assert_true(answered("\"alarms\":[]")); /* it may well be over soon */
    world_pass(30 * MINUTE);
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"unreadable\",\"what\":\"1 messages cannot be read"));
    memory_store.unreadable = 0;
    ask_about("show", id); /* what was read of it now says nothing of the body */
    assert_true(answered("\"reason\":\"it cannot be read from the spool: Input/output error\""));
    ask_about("retry", id);
    world_run();
    world_deliver(world_job(0));
    ask("status");
    assert_true(answered("\"alarms\":[]"));
}

static void shows_destinations_and_their_breakers(void **state)
{
    static const struct {
        const char *name, *text;
    } parts[] = {
        { "name", "\"destination\":\"mx.there.test\"" },
        { "breaker", "\"breaker\":\"open\"" },
        { "since", "\"since\":\"2026-11-23T08:15:00.000Z\"" },
        { "next probe", "\"next_at\":\"2026-11-23T08:15:15.000Z\"" },
        { "cause", "\"cause\":\"refused (mx.there.test[192.0.2.1]:25, while sending RCPT TO)\"" },
        { "mail", "\"waiting\":2,\"senders_waiting\":1,\"deliveries\":2" },
        { "window", "\"connections\":1,\"connections_most\":2" },
        { "failure", "\"last_failure\":\"2026-11-23T08:15:00.000Z\"" },
        { "domains", "\"domain_count\":2,\"domains\":[\"there.test\",\"b.test\"]" },
    };

    (void)state;
    world.mail_hosts = "there.test mx.there.test b.test mx.there.test";
    world_accept("a@here.test", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    world_accept("a@here.test", "b@b.test", body);
    ask("destinations");
    check_lines();
    assert_int_equal(matched(), 1);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!answered(parts[i].text))
            fail_msg("%s: %s", parts[i].name, answer);
    }
    ask("destinations name=B.test");
    assert_int_equal(matched(), 1);
    ask("destinations name=mx.there.test");
    assert_int_equal(matched(), 1);
    ask("destinations name=elsewhere.test");
    assert_int_equal(matched(), 0);
    ask("close name=b.test");
    assert_int_equal(matched(), 1);
    world_run();
    assert_int_equal(world.job_count, 3);
    for (unsigned i = 1; i < 3; i++)
        world_answer(world_job(i), OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && answered("\"last_success\":"));
    ask("open name=mx.there.test");
    world_accept("a@here.test", "b@b.test", body);
    assert_int_equal(world.job_count, 3);
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered("\"forced\":true") &&
                answered("held back by an administrator (uid 0)") && !answered("next_at"));
    ask("list");
    assert_true(answered("\"state\":\"waiting\"") && answered("held back by an administrator"));
    ask("open");
    assert_true(answered("{\"error\":\"which destination?\"}"));
    ask("close name=mx.there.test");
    world_run();
    assert_int_equal(world.job_count, 4);
}

/* All that there are: with the cause, and when the next probe goes, where one does. */
static void names_the_state_of_a_breaker(void **state)
{
    static const char cause[] = "\"cause\":\"refused (mx.there.test[192.0.2.1]:25, "
                                "while sending RCPT TO)\"";

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && !answered("\"cause\"") &&
                !answered("\"since\"") && !answered("next_at"));
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered(cause));
    assert_true(answered("\"next_at\":\"2026-11-23T08:15:15.000Z\"") && answered("\"failures\":1"));
    world_pass(15 * SECOND);
    assert_int_equal(world.job_count, 2); /* the probe, under way */
    ask("destinations");
    assert_true(answered("\"breaker\":\"probing\"") && answered(cause) && !answered("next_at"));
    assert_true(answered("\"since\":\"2026-11-23T08:15:00.000Z\""));
    world_answer(world_job(1), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered("\"failures\":2"));
    assert_true(answered("\"next_at\":\"2026-11-23T08:15:45.000Z\""));
    world_pass(30 * SECOND);
    world_accept("a@here.test", "c@there.test", body);
    world_answer(world_job(2), OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && !answered("next_at"));
    assert_true(answered("\"last_success\":\"2026-11-23T08:15:45.000Z\""));
}

static void say_missed_tls(const struct world_job *j, const char *host, bool broken)
{
    const struct message_tls_missed m = { j->start.job, broken, 60 * MINUTE, view_of(host) };

    peer_send_tls_missed(&j->worker->peer, &m, -1);
    world_run();
}

/* For as long as the worker that has the destination remembers it. */
static void tells_of_hosts_whose_tls_is_missed(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25", true);
    world_pass(MINUTE);
    say_missed_tls(world_job(0), "mx2.there.test[192.0.2.2]:25", false);
    ask("destinations");
    assert_true(
        answered("\"tls_missed\":[{\"host\":\"mx.there.test[192.0.2.1]:25\",\"broken\":true,"
                 "\"until\":\"2026-11-23T09:15:00.000Z\"},"
                 "{\"host\":\"mx2.there.test[192.0.2.2]:25\",\"broken\":false,"
                 "\"until\":\"2026-11-23T09:16:00.000Z\"}]"));
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25", true);
    world_pass(59 * MINUTE);
    ask("destinations"); /* one has been told anew, the other is over soon */
    assert_true(answered("\"until\":\"2026-11-23T09:16:00.000Z\"}]"));
    world_pass(MINUTE);
    ask("destinations");
    assert_false(answered("tls_missed"));
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25", true);
    world_add_worker(DELIVERY, 0);
    world_reload("");
    ask("destinations");
    assert_false(answered("tls_missed"));
}

static void keeps_the_latest_of_many_hosts_without_tls(void **state)
{
    char host[32];

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    for (int i = 1; i <= TLSNOTES_MAX + 1; i++) {
        snprintf(host, sizeof(host), "mx%d.there.test", i);
        say_missed_tls(world_job(0), host, true);
    }
    ask("destinations");
    assert_false(answered("\"mx1.there.test\""));
    assert_true(answered("\"mx2.there.test\"") && answered("\"mx17.there.test\""));
}

static void believes_only_the_worker_of_the_job(void **state)
{
    struct message_tls_missed m = { 1000, true, MINUTE, VIEW_INIT("mx.test") };

    (void)state;
    peer_send_tls_missed(&world.workers[0].peer, &m, -1);
    world_run();
    assert_true(world.workers[0].gone);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(an_envelope_without_sense_is_for_the_administrator),
        IN_WORLD(tells_why_each_message_waits),
        IN_WORLD(names_the_states),
        IN_WORLD(finds_by_what_is_asked),
        IN_WORLD(refuses_what_it_does_not_understand),
        IN_WORLD(shows_what_is_done_besides),
        IN_WORLD(acts_on_many),
        IN_WORLD(changes_nothing_while_the_store_is_behind),
        IN_WORLD(tells_of_a_destination_that_is_tried_at_once),
        IN_WORLD(streams_long_lists),
        IN_WORLD(answers_one_request_after_the_other),
        IN_WORLD(ends_with_its_client),
        IN_WORLD(gives_the_message_with_the_open_recipients),
        IN_WORLD(takes_a_message_in),
        IN_WORLD(takes_in_only_whole_messages),
        IN_WORLD(raises_alarms_about_the_spool),
        IN_WORLD(tells_what_cannot_be_read),
        IN_WORLD(shows_destinations_and_their_breakers),
        IN_WORLD(names_the_state_of_a_breaker),
        IN_WORLD(tells_of_hosts_whose_tls_is_missed),
        IN_WORLD(keeps_the_latest_of_many_hosts_without_tls),
        IN_WORLD(believes_only_the_worker_of_the_job),
        IN_WORLD(survives_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
