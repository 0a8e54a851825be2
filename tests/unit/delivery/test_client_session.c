#include "tests/unit/delivery/dialogue.h"

#include "tests/unit/unit.h"

static const struct dialogue cases[] = {
    /* ---- the host refused ---- */
    { .name = "greeting 554",
      .server = "554 5.7.1 go away",
      .transcript = "QUIT\n[over deferred 554 4.7.1 destination: go away while waiting for the "
                    "greeting]\n" },
    { .name = "greeting 450",
      .server = "450 busy",
      .transcript =
          "QUIT\n[over deferred 450 4.0.0 destination: busy while waiting for the greeting]\n" },
    { .name = "greeting 421",
      .server = "421 busy",
      .transcript =
          "[over deferred 421 4.0.0 destination: busy while waiting for the greeting]\n" },
    { .name = "EHLO put off",
      .server = "220 mx|450 later",
      .transcript =
          EHLO "QUIT\n[over deferred 450 4.0.0 destination: later while sending EHLO]\n" },
    { .name = "EHLO and HELO refused",
      .server = "220 mx|502 what|504 who",
      .transcript = EHLO "HELO me.test\nQUIT\n[over deferred 504 4.0.0 destination: who while "
                         "sending HELO]\n" },
    { .name = "421 to EHLO",
      .server = "220 mx|421 later",
      .transcript = EHLO "[over deferred 421 4.0.0 destination: later while sending EHLO]\n" },

    /* ---- TLS ---- */
    { .name = "TLS offered, taken",
      .server = HELLO_TLS "220 go|250-mx\n250 SIZE|250 ok|",
      .transcript = EHLO "STARTTLS\n[tls]\n" EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7\n" RCPT0 },
    { .name = "TLS offered, not wanted",
      .server = HELLO_TLS,
      .tls = ROUTE_TLS_NONE,
      .transcript = EHLO GROUP_PLAIN },
    { .name = "TLS offered, refused: plain text",
      .server = HELLO_TLS "454 not now|",
      .transcript = EHLO "STARTTLS\n" GROUP_PLAIN },
    { .name = "STARTTLS put off, but wanted: not for good",
      .server = HELLO_TLS "454 not now|530 5.7.0 STARTTLS first\n503 no\n503 no\n503 no|250 reset|"
                          "221 bye",
      .transcript =
          EHLO "STARTTLS\n" GROUP_PLAIN "[rest deferred 530 4.7.0, elsewhere]\nRSET\n" QUIT BYE },
    { .name = "plain text since TLS failed, and refused by a policy: not for good",
      .server =
          HELLO_TLS "250 ok\n550 5.7.10 encryption needed\n550 must use TLS\n554 no|250 reset|"
                    "221 bye",
      .broken = true,
      .transcript = EHLO GROUP_PLAIN
      "[0 deferred 550 4.7.10, elsewhere]\n[1 deferred 550 4.0.0, elsewhere]\nRSET\n" QUIT BYE },
    { .name = "plain text since TLS failed, refused at DATA",
      .server = HELLO_TLS TAKEN "\n554 5.7.0 TLS first|250 reset|221 bye",
      .broken = true,
      .transcript = EHLO GROUP_PLAIN "[rest deferred 554 4.7.0, elsewhere]\nRSET\n" QUIT BYE },
    { .name = "plain text since TLS failed, other refusals stay",
      .server = HELLO_TLS "250 ok\n550 5.1.1 no TLS user\n550 who\n554 no|250 reset|221 bye",
      .broken = true,
      .transcript =
          EHLO GROUP_PLAIN "[0 failed 550 5.1.1]\n[1 failed 550 5.0.0]\nRSET\n" QUIT BYE },
    { .name = "plain text since TLS failed, the content refused",
      .server = HELLO_TLS TAKES "|BODY|554 5.7.1 spam|250 reset|221 bye",
      .broken = true,
      .transcript = EHLO GROUP_PLAIN "[body]\n[rest failed 554 5.7.1]\nRSET\n" QUIT BYE },
    { .name = "plain text by choice, refused by a policy",
      .server = HELLO_TLS "550 5.7.10 encryption needed\n503 no\n503 no\n503 no|250 reset|221 bye",
      .tls = ROUTE_TLS_NONE,
      .transcript = EHLO GROUP_PLAIN "[rest failed 550 5.7.10]\nRSET\n" QUIT BYE },
    { .name = "530 where TLS is not offered is a refusal",
      .server = HELLO "530 5.7.0 log in first\n503 no\n503 no\n503 no|250 reset|221 bye",
      .transcript = GREETED "[rest failed 530 5.7.0]\nRSET\n" QUIT BYE },
    { .name = "REQUIRETLS, promised",
      .server = HELLO_TLS "220 go|250-mx.test\n250 REQUIRETLS|250 ok",
      .tls = ROUTE_TLS_VERIFY,
      .onward = true,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\nrequiretls=yes\n",
      .transcript = EHLO "STARTTLS\n[tls]\n" EHLO "[start]\nMAIL FROM:<s@a.test> REQUIRETLS\n"
                         "RCPT TO:<r@b.test>\n" },
    { .name = "REQUIRETLS of a notice, promised in plain text",
      .server = "220 mx|250-mx.test\n250 REQUIRETLS|250 ok",
      .envelope = "from=\nrcpt=r@b.test\narrival=1\nrequiretls=yes\n",
      .transcript = EHLO "[start]\nMAIL FROM:<>\nRCPT TO:<r@b.test>\n" },
    { .name = "REQUIRETLS, not promised",
      .server = HELLO_TLS "220 go|250 mx.test|221 bye",
      .tls = ROUTE_TLS_VERIFY,
      .onward = true,
      .transcript = EHLO "STARTTLS\n[tls]\n" EHLO
                         "QUIT\n[over failed 5.7.30 message: the sender requires TLS all the way "
                         "(REQUIRETLS), and the host does not promise that while sending EHLO]\n" },
    { .name = "TLS required, refused",
      .server = HELLO_TLS "454 4.7.0 not now|",
      .tls = ROUTE_TLS_VERIFY,
      .transcript = EHLO "STARTTLS\nQUIT\n[over deferred 454 4.7.0 destination: not now while "
                         "sending STARTTLS]\n" },
    { .name = "TLS required, not offered",
      .server = HELLO,
      .tls = ROUTE_TLS_VERIFY,
      .transcript = EHLO "QUIT\n[over deferred 4.7.10 destination: TLS is required, and the host "
                         "does not offer it while sending EHLO]\n" },
    { .name = "TLS required, only HELO",
      .server = "220 mx|502 what|250 mx",
      .tls = ROUTE_TLS_VERIFY,
      .transcript = EHLO "HELO me.test\nQUIT\n[over deferred 4.7.10 destination: TLS is required, "
                         "and the host does not offer it while sending HELO]\n" },
    { .name = "TLS required, taken",
      .server = HELLO_TLS "220 go|250-mx\n250-STARTTLS\n250 PIPELINING|",
      .tls = ROUTE_TLS_VERIFY,
      .transcript = EHLO "STARTTLS\n[tls]\n" EHLO GROUP_PLAIN },
    { .name = "TLS from the first byte",
      .server = "220 mx|250-mx\n250-STARTTLS\n250 PIPELINING|",
      .implicit = true,
      .transcript = "[tls]\n" EHLO GROUP_PLAIN },
    { .name = "injection behind STARTTLS",
      .server = HELLO_TLS "220 go\n250-mx\n250 AUTH|",
      .whole_only = true,
      .transcript = EHLO "STARTTLS\n[over deferred 4.5.0 destination: more was said than had been "
                         "asked while sending STARTTLS]\n" },

/* ---- logging in ---- */
#define HELLO_AUTH(words) HELLO_TLS "220 go|250-mx\n250-AUTH " words "\n250 PIPELINING|"
#define IN_TLS            EHLO "STARTTLS\n[tls]\n" EHLO
#define BY_PASSWORD       .tls = ROUTE_TLS_VERIFY, .secret = "pw"
#define BY_TOKEN          .tls = ROUTE_TLS_VERIFY, .secret = "tok", .token = true
    { .name = "PLAIN",
      .server = HELLO_AUTH("LOGIN PLAIN") "235 2.7.0 in|250 ok",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH PLAIN AG1lAHB3\n" GROUP_PLAIN },
    { .name = "LOGIN",
      .server = HELLO_AUTH("LOGIN") "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|235 in|250 ok",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH LOGIN\nbWU=\ncHc=\n" GROUP_PLAIN },
    { .name = "a token: XOAUTH2",
      .server = HELLO_AUTH("PLAIN XOAUTH2") "235 in|250 ok",
      BY_TOKEN,
      .transcript = IN_TLS "AUTH XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciB0b2sBAQ==\n" GROUP_PLAIN },
    { .name = "a token that has run out: XOAUTH2",
      .server = HELLO_AUTH("XOAUTH2") "334 e30=|535 5.7.8 expired",
      BY_TOKEN,
      .transcript = IN_TLS "AUTH XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciB0b2sBAQ==\n\nQUIT\n[over "
                           "deferred 535 4.7.8 destination: expired while logging in]\n" },
    { .name = "a token: OAUTHBEARER, and refused",
      .server = HELLO_AUTH("XOAUTH2 OAUTHBEARER") "334 e30=|535 5.7.8 expired",
      BY_TOKEN,
      .transcript =
          IN_TLS "AUTH OAUTHBEARER "
                 "bixhPW1lLAFob3N0PW14LnRlc3QBcG9ydD01ODcBYXV0aD1CZWFyZXIgdG9rAQE=\nAQ==\nQUIT\n"
                 "[over deferred 535 4.7.8 destination: expired while logging in]\n" },
    { .name = "a login that is refused for good is put off",
      .server = HELLO_AUTH("PLAIN") "535 5.7.8 no",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH PLAIN AG1lAHB3\nQUIT\n[over deferred 535 4.7.8 destination: no "
                           "while logging in]\n" },
    { .name = "a login that is put off",
      .server = HELLO_AUTH("PLAIN") "454 4.7.0 later",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH PLAIN AG1lAHB3\nQUIT\n[over deferred 454 4.7.0 destination: later "
                           "while logging in]\n" },
    { .name = "a challenge where none belongs",
      .server = HELLO_AUTH("PLAIN") "334 eA==|501 cancelled",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH PLAIN AG1lAHB3\n*\nQUIT\n[over deferred 501 4.0.0 destination: "
                           "cancelled while logging in]\n" },
    { .name = "challenges without end",
      .server = HELLO_AUTH("PLAIN") "334 eA==|334 eA==",
      BY_PASSWORD,
      .transcript = IN_TLS "AUTH PLAIN AG1lAHB3\n*\n[over deferred 4.5.0 destination: a challenge "
                           "to a login that was given up while logging in]\n" },
    { .name = "354 to AUTH",
      .server = HELLO_AUTH("PLAIN") "354 go",
      BY_PASSWORD,
      .transcript =
          IN_TLS "AUTH PLAIN AG1lAHB3\n[over deferred 4.5.0 destination: a reply that does "
                 "not fit AUTH while logging in]\n" },
    { .name = "no secret yet",
      .server = HELLO_AUTH("SCRAM-SHA-256") "501 no",
      .tls = ROUTE_TLS_VERIFY,
      .secret = "",
      .transcript =
          IN_TLS "QUIT\n[over deferred 4.7.0 destination: there is no password or token to "
                 "log in with while sending EHLO]\n" },
    { .name = "nothing to log in with in common",
      .server = HELLO_AUTH("PLAIN LOGIN"),
      BY_TOKEN,
      .transcript =
          IN_TLS "QUIT\n[over deferred 4.7.0 destination: the host offers no way to log in "
                 "that Tern knows while sending EHLO]\n" },

    /* ---- nonsense ---- */
    { .name = "garbage for a greeting",
      .server = "hello",
      .transcript = "[over deferred 4.5.0 destination: a malformed reply while waiting for the "
                    "greeting]\n" },
    { .name = "354 to EHLO",
      .server = "220 mx|354 what",
      .transcript = EHLO "[over deferred 4.5.0 destination: a reply that fits no command while "
                         "sending EHLO]\n" },
    { .name = "354 to a recipient",
      .server = HELLO "250 ok\n354 go",
      .transcript = GREETED "[over deferred 4.5.0 destination: a reply that fits no command while "
                            "sending RCPT TO]\n" },
    { .name = "mixed codes",
      .server = HELLO "250-ok\n550 no",
      .transcript = GREETED "[over deferred 4.5.0 destination: a malformed reply while sending "
                            "MAIL FROM]\n" },
    { .name = "250 to DATA",
      .server = HELLO TAKEN "\n250 go",
      .transcript = GREETED "[over deferred 4.5.0 destination: DATA was answered like another "
                            "command while sending DATA]\n" },
    { .name = "334 to DATA",
      .server = HELLO TAKEN "\n334 go",
      .transcript = GREETED "[over deferred 4.5.0 destination: a reply that does not fit DATA "
                            "while sending DATA]\n" },
    { .name = "garbage after the dot",
      .server = HELLO TAKES "|BODY|taken\n250 taken",
      .transcript = GREETED "[body]\n[over deferred 4.5.0 message: a malformed reply while "
                            "waiting for the reply to the message]\n" },
    { .name = "354 after the dot",
      .server = HELLO TAKES "|BODY|354 go",
      .transcript = GREETED "[body]\n[over deferred 4.5.0 message: a reply that fits no command "
                            "while waiting for the reply to the message]\n" },
    { .name = "two greetings",
      .server = "220 mx\n220 mx",
      .whole_only = true,
      .transcript = "[over deferred 4.5.0 destination: more was said than had been asked while "
                    "waiting for the greeting]\n" },
    { .name = "two replies to the dot",
      .server = HELLO TAKES "|BODY|250 taken\n250 taken",
      .whole_only = true,
      .messages = 2,
      .transcript = GREETED "[body]\n[rest delivered 250 2.0.0]\n[over deferred 4.5.0 message: "
                            "more was said than had been asked while waiting for the reply to the "
                            "message]\n" },

    /* ---- this machine ---- */
    { .name = "a mail host that greets as we do is us",
      .server = "220-ME.test ESMTP\n220 hello|221 bye",
      .mx = true,
      .transcript =
          "QUIT\n[over failed 5.4.6 domain: mail for this domain comes back to this host, "
          "which greets with its own name while waiting for the greeting]\n" },
    { .name = "one that greets with more than our name is not",
      .server = "220 me.test.example ESMTP",
      .mx = true,
      .transcript = EHLO },
    { .name = "nor is one whose words name us later",
      .server = "220-mx.test\n220-me.test\n220 hello me.test",
      .mx = true,
      .transcript = EHLO },
    { .name = "a configured host is taken at its word",
      .server = "220 me.test ESMTP",
      .transcript = EHLO },

    /* ---- closed ---- */
    { .name = "closed before the greeting",
      .server = "EOF",
      .transcript = "[over deferred 4.4.2 destination: closed while waiting for the greeting]\n" },
    { .name = "closed at EHLO",
      .server = "220 mx|EOF",
      .transcript = EHLO "[over deferred 4.4.2 destination: closed while sending EHLO]\n" },
    { .name = "closed at STARTTLS",
      .server = HELLO_TLS "EOF",
      .transcript =
          EHLO "STARTTLS\n[over deferred 4.4.2 destination: closed while sending STARTTLS]\n" },
    { .name = "closed at MAIL",
      .server = HELLO "EOF",
      .transcript = GREETED "[over deferred 4.4.2 destination: closed while sending MAIL FROM]\n" },
    { .name = "closed at RCPT",
      .server = HELLO "250 ok\n250 ok|EOF",
      .transcript = GREETED "[over deferred 4.4.2 destination: closed while sending RCPT TO]\n" },
    { .name = "closed at DATA",
      .server = HELLO TAKEN "|EOF",
      .transcript = GREETED "[over deferred 4.4.2 destination: closed while sending DATA]\n" },
    { .name = "closed in the message",
      .server = HELLO TAKES "|EOF",
      .transcript = GREETED "[over deferred 4.4.2 message: closed while sending the message]\n" },
    { .name = "closed after the dot",
      .server = HELLO TAKES "|BODY|EOF",
      .transcript = GREETED "[body]\n[over deferred 4.4.2 message: closed while waiting for the "
                            "reply to the message]\n" },
    { .name = "closed within the reply to the dot",
      .server = HELLO TAKES "|BODY|250-taken|EOF",
      .transcript = GREETED "[body]\n[over deferred 4.4.2 message: closed while waiting for the "
                            "reply to the message]\n" },
    { .name = "closed at QUIT",
      .server = HELLO TAKES "|BODY|250 taken|EOF",
      .transcript = GREETED "[body]\n[rest delivered 250 2.0.0]\n" QUIT
                            "[over deferred 4.4.2 destination: closed while sending QUIT]\n" },
};

static void holds_dialogues(void **state)
{
    (void)state;
    dialogue_check(cases, COUNT_OF(cases));
}

static void knows_what_failed_at_tls(void **state)
{
    static struct client c;
    static const struct {
        const char *name, *server; /* before and behind a handshake */
        bool closed, failed;
    } ends[] = {
        { "timed out at STARTTLS", "220 x\r\n|250-x\r\n250 STARTTLS\r\n", false, true },
        { "timed out in the handshake", "220 x\r\n|250-x\r\n250 STARTTLS\r\n|220 go\r\n", false,
          true },
        { "closed behind it", "220 x\r\n|250-x\r\n250 STARTTLS\r\n|220 go\r\n|", true, true },
        { "timed out behind it", "220 x\r\n|250-x\r\n250 STARTTLS\r\n|220 go\r\n|", false, false },
        { "closed later", "220 x\r\n|250-x\r\n250 STARTTLS\r\n|220 go\r\n||250 x\r\n", true,
          false },
        { "closed in plain text", "220 x\r\n", true, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct view server = view_of(ends[i].server);
        struct client_verdict v;

        client_init(&c, VIEW("me.test"), (struct tls_policy){ .tries = true }, false);
        while (server.len > 0) {
            struct view turn = view_take_until(&server, '|');

            assert_false(client_hear(&c, &turn, &v));
            if (client_wish(&c) == CLIENT_WISH_TLS && server.ptr[-1] == '|')
                client_tls_ready(&c);
        }
        if (ends[i].closed)
            client_closed(&c, VIEW("closed"));
        else
            client_lost(&c, VIEW("timed out"));
        check(ends[i].name, client_failed_at_tls(&c) == ends[i].failed);
        client_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_dialogues),
        cmocka_unit_test(knows_what_failed_at_tls),
    };

    return cmocka_run_group_tests_name("client session", tests, NULL, NULL);
}
