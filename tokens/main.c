/* tern-tokens: runs the commands that get tokens for smarthosts. What it starts needs files, names
 * and connections that no sandbox of ours knows: so it is begun before master locks itself in, and
 * has nothing of Tern's but an unprivileged user and one channel. Each command has a process of its
 * own beside it, and none waits for another. */
#include "common/error.h"
#include "io/channel.h"
#include "io/log.h"
#include "ipc/role.h"
#include "tokens/command.h"
#include "tokens/token.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The socket blocks in no process: master's end does not either. */
static void say(const struct message_token_answer *answer)
{
    static char packet[CHANNEL_PACKET_MAX];
    struct buf room = BUF_ON_ARRAY(packet);

    if (message_token_answer_encode(answer, &room))
        (void)send(ROLE_CHANNEL_FD, room.room, buf_len(&room), MSG_NOSIGNAL);
    explicit_bzero(packet, sizeof(packet));
}

static NORETURN void get_token(const struct message_token_ask *ask)
{
    static char output_room[COMMAND_OUTPUT_MAX], token_room[TOKEN_MAX];
    struct buf output = BUF_ON_ARRAY(output_room), token = BUF_ON_ARRAY(token_room);
    struct message_token_answer answer = { .question = ask->question };
    struct error err = { "" };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_DFL); /* else the command's status would be lost */
    if (command_run(ask->command, ask->patience_ms, &output, &err) == 0 &&
        !token_read(buf_view(&output), &token, &answer.lifetime_s))
        (void)error_set(&err, 0,
                        "it printed neither a token nor a JSON object with an access_token");
    answer.token = buf_view(&token);
    answer.words = view_of(err.text);
    say(&answer);
    _exit(EXIT_SUCCESS);
}

static void hear(struct view packet)
{
    struct message_token_ask ask;
    enum message type;
    struct view fields;
    pid_t pid;

    if (!message_open(packet, &type, &fields) || type != MESSAGE_TOKEN_ASK ||
        !message_token_ask_decode(fields, &ask)) {
        log_error("start_failed", LOG_STRING("reason", "started by hand? tern-master does it"));
        exit(ROLE_EXIT_CONFIG);
    }
    pid = fork();
    if (pid == 0)
        get_token(&ask);
    if (pid < 0) {
        const struct message_token_answer none = { .question = ask.question,
                                                   .words = VIEW_INIT("no process") };

        say(&none);
    }
}

int main(void)
{
    static char room[CHANNEL_PACKET_MAX];
    long n;
    int fd;

    log_open("tokens", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return EXIT_FAILURE;
    command_adopt_orphans();
    while ((n = channel_receive_blocking(ROLE_CHANNEL_FD, room, sizeof(room), &fd)) > 0) {
        if (fd >= 0)
            close(fd);
        hear(view_make(room, (size_t)n));
    }
    signal(SIGCHLD, SIG_DFL);
    command_end_descendants();
    return EXIT_SUCCESS;
}
