#include "tests/unit/queue/admin.h"

#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");
char answer[ANSWER_MOST];
size_t answer_len;
int admin = -1;

void admin_connect(void)
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

int admin_set_up(void **state)
{
    world_open(state);
    admin_connect();
    return 0;
}

int admin_tear_down(void **state)
{
    if (admin >= 0)
        close(admin);
    admin = -1;
    return world_close(state);
}

void send_text(struct view text)
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

void hear(void)
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

void ask(const char *request)
{
    send_text(view_of(request));
    send_text(VIEW("\n"));
    hear();
}

bool answered(const char *text)
{
    return strstr(answer, text) != NULL;
}

uint64_t matched(void)
{
    const char *end = strstr(answer, "{\"end\":true,\"matched\":");

    if (end == NULL)
        fail_msg("no end: %s", answer);
    return strtoull(strstr(end, "matched\":") + strlen("matched\":"), NULL, 10);
}

void check_lines(void)
{
    struct view rest = view_make(answer, answer_len), line;

    while (view_take_line(&rest, &line)) {
        struct json *j = json_parse(line);

        if (j == NULL || !json_is_object(json_root(j)))
            fail_msg("not an object: %.*s", VIEW_ARG(line));
        json_free(&j);
    }
}

void ask_about(const char *verb, uint64_t id)
{
    char request[64];

    snprintf(request, sizeof(request), "%s id=%016llx", verb, (unsigned long long)id);
    ask(request);
}
