#include "tests/unit/delivery/dialogue.h"

#include "tests/unit/unit.h"

static const struct dialogue cases[] = {
    /* ---- a message ---- */
    { .name = "pipelined",
      .server = HELLO TAKES "|BODY|250 2.0.0 taken|221 bye",
      .transcript = GREETED "[body]\n[rest delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "one by one",
      .server = HELLO_SLOW "250 ok|250 ok|250 ok|354 go|BODY|250 taken|221 bye",
      .transcript = EHLO MAIL RCPT0 RCPT1 "DATA\n[body]\n[rest delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "replies come in several groups",
      .server = HELLO "250 ok\n250 ok|250 ok|354 go|BODY|250 taken",
      .transcript = GREETED "[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "replies of several lines",
      .server =
          "220-mx.test\n220 hello|250-mx.test\n250 PIPELINING|"
          "250-2.1.0 fine\n250 2.1.0 really\n250 ok\n251 ok\n354-go\n354 on|BODY|250-a\n250 b",
      .transcript = EHLO GROUP_PLAIN "[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "two messages",
      .server = HELLO TAKES "|BODY|250 taken|" TAKES "|BODY|250 taken|221 bye",
      .messages = 2,
      .transcript = GREETED "[body]\n[rest delivered 250 2.0.0]\n" GROUP
                            "[body]\n[rest delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "8-bit content, offered",
      .server = HELLO "250 ok",
      .eight_bit = true,
      .rcpts = 1,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7 BODY=8BITMIME\n" RCPT0 "DATA\n" },
    { .name = "8-bit content, not offered",
      .server = HELLO_SLOW,
      .eight_bit = true,
      .transcript = EHLO MAIL },
    { .name = "HELO",
      .server = "220 mx|502 what|250 mx|250 ok|250 ok|250 ok|354 go|BODY|250 taken",
      .transcript = EHLO "HELO me.test\n" MAIL RCPT0 RCPT1
                         "DATA\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },

    /* ---- size ---- */
    { .name = "too large",
      .server = HELLO "221 bye",
      .bytes = 1001,
      .transcript = EHLO "[start]\n[rest failed 5.3.4]\n" QUIT BYE },
    { .name = "just not too large",
      .server = HELLO,
      .bytes = 1000,
      .rcpts = 1,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=1000\n" RCPT0 "DATA\n" },
    { .name = "size without a limit",
      .server = "220 mx|250-mx\n250 SIZE|",
      .bytes = 2000,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=2000\n" },
    { .name = "size zero is no limit",
      .server = "220 mx|250-mx\n250 SIZE 0|",
      .bytes = 2000,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=2000\n" },

    /* ---- BDAT ---- */
    { .name = "a small chunk goes with its commands",
      .chunk = true,
      .server = HELLO_CHUNK TAKEN "\n250 2.0.0 taken|221 bye",
      .transcript = EHLO GROUP_CHUNK "[rest delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "a large chunk waits until somebody takes it",
      .chunk = true,
      .bytes = 100000,
      .server = HELLO_CHUNK "250 ok\n250 ok\n550 no|250 2.0.0 taken",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test>\n" RCPTS "[1 failed 550 5.0.0]\n"
                         "BDAT 100000 LAST\n[chunk]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "a large chunk that nobody takes is not sent",
      .chunk = true,
      .bytes = 100000,
      .server = HELLO_CHUNK "250 ok\n550 no\n550 no|250 ok",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test>\n" RCPTS
                         "[0 failed 550 5.0.0]\n[1 failed 550 5.0.0]\nRSET\n" QUIT },
    { .name = "a small chunk that nobody took",
      .chunk = true,
      .server = HELLO_CHUNK "250 ok\n550 no\n550 no\n503 for whom|250 ok",
      .transcript = EHLO GROUP_CHUNK "[0 failed 550 5.0.0]\n[1 failed 550 5.0.0]\nRSET\n" QUIT },
    { .name = "a small chunk, and the sender is refused",
      .chunk = true,
      .server = HELLO_CHUNK "550 5.7.1 no\n503 MAIL\n503 MAIL\n503 MAIL|250 ok",
      .transcript = EHLO GROUP_CHUNK "[rest failed 550 5.7.1]\nRSET\n" QUIT },
    { .name = "the sender is refused before a small chunk is sent",
      .chunk = true,
      .slow = true,
      .server = HELLO_CHUNK "550 5.7.1 no",
      .transcript = EHLO GROUP_SMALL "[rest failed 550 5.7.1]\n[over deferred 550 4.7.1 "
                                     "message: no while sending MAIL FROM]\n" },
    { .name = "all recipients are refused before a small chunk is sent",
      .chunk = true,
      .slow = true,
      .server = HELLO_CHUNK "250 ok\n550 5.1.1 who\n550 5.1.1 who",
      .transcript = EHLO GROUP_SMALL "[0 failed 550 5.1.1]\n[1 failed 550 5.1.1]\n[over "
                                     "deferred 550 4.1.1 message: who while sending RCPT "
                                     "TO]\n" },
    { .name = "a chunk is refused for good",
      .chunk = true,
      .server = HELLO_CHUNK TAKEN "\n554 5.6.0 no|250 ok",
      .transcript = EHLO GROUP_CHUNK "[rest failed 554 5.6.0]\nRSET\n" QUIT },
    { .name = "BDAT is not known after all: DATA",
      .chunk = true,
      .messages = 2,
      .server = HELLO_CHUNK TAKEN "\n502 what|250 ok|" TAKES "|BODY|250 2.0.0 taken",
      .transcript =
          EHLO GROUP_CHUNK "RSET\n" GROUP_PLAIN "[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "a chunk is answered with 421",
      .chunk = true,
      .server = HELLO_CHUNK TAKEN "\n421 4.3.2 closing",
      .transcript = EHLO GROUP_CHUNK "[rest deferred 421 4.3.2]\n[over deferred 421 4.3.2 "
                                     "destination: closing while waiting for the reply to the "
                                     "message]\n" },
    { .name = "no chunk without PIPELINING",
      .chunk = true,
      .server = "220 mx|250-mx\n250 CHUNKING|250 ok|250 ok|250 ok|",
      .transcript = EHLO MAIL RCPT0 RCPT1 "DATA\n" },
    { .name = "no chunk to LMTP",
      .chunk = true,
      .lmtp = true,
      .server = HELLO_CHUNK,
      .transcript = "LHLO me.test\n" GROUP_PLAIN },
    { .name = "no chunk where it is not wished",
      .server = HELLO_CHUNK,
      .transcript = EHLO GROUP_PLAIN },
    { .name = "a chunk is refused before its end",
      .chunk = true,
      .slow = true,
      .bytes = 100000,
      .server = HELLO_CHUNK TAKEN "|552 5.3.4 too large",
      .transcript =
          EHLO GROUP_LARGE "[rest failed 552 5.3.4]\n[over deferred 552 4.3.4 message: too large "
                           "while waiting for the reply to the message]\n" },
    { .name = "BDAT is not known, which is said before the end of the chunk",
      .chunk = true,
      .slow = true,
      .bytes = 100000,
      .server = HELLO_CHUNK TAKEN "|500 what",
      .transcript =
          EHLO GROUP_LARGE "[over deferred 500 4.0.0 message: what while waiting for the reply to "
                           "the message]\n" },
    { .name = "success before the end of the chunk",
      .chunk = true,
      .slow = true,
      .bytes = 100000,
      .server = HELLO_CHUNK TAKEN "|250 taken",
      .transcript =
          EHLO GROUP_LARGE "[over deferred 4.5.0 message: a reply before the end of the message "
                           "while waiting for the reply to the message]\n" },
    { .name = "closed after a chunk, and nothing was heard: closed before",
      .chunk = true,
      .server = HELLO_CHUNK "EOF",
      .transcript = EHLO GROUP_CHUNK "[over deferred 4.4.2 destination: closed while sending MAIL "
                                     "FROM]\n" },
    { .name = "closed after a chunk, and something was heard: perhaps it was taken",
      .chunk = true,
      .server = HELLO_CHUNK "250 ok|EOF",
      .transcript = EHLO GROUP_CHUNK "[over deferred 4.4.2 message: closed while waiting for the "
                                     "reply to the message]\n" },
    { .name = "silent after a chunk: perhaps it is taken yet",
      .chunk = true,
      .server = HELLO_CHUNK "LATE",
      .transcript = EHLO GROUP_CHUNK "[over deferred 4.4.2 message: timed out while waiting for "
                                     "the reply to the message]\n" },
    { .name = "421 to a recipient after a chunk: it was not taken",
      .chunk = true,
      .server = HELLO_CHUNK "250 ok\n421 4.3.2 closing",
      .transcript = EHLO GROUP_CHUNK "[over deferred 421 4.3.2 message: closing while sending "
                                     "RCPT TO]\n" },

    /* ---- what extensions carry ---- */
    { .name = "DSN, offered",
      .server = HELLO_ALL "250 ok",
      .envelope = "from=s@a.test\nrcpt=r@b.test\norcpt=rfc822;R+x@b.test\nnotify=success,delay\n"
                  "rcpt=q@b.test\nnotify=never\nrcpt=p@b.test\narrival=1\nenvid=a=b\nret=headers\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7 RET=HDRS ENVID=a+3Db\n"
                         "RCPT TO:<r@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;R+2Bx@b.test\n"
                         "RCPT TO:<q@b.test> NOTIFY=NEVER\nRCPT TO:<p@b.test>\nDATA\n" },
    { .name = "DSN, not offered",
      .server = HELLO_SLOW "250 ok",
      .envelope = "from=s@a.test\nrcpt=r@b.test\norcpt=rfc822;r@b.test\nnotify=success\narrival=1\n"
                  "envid=a\nret=full\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test>\nRCPT TO:<r@b.test>\n" },
    { .name = "an original recipient in UTF-8",
      .server = HELLO_ALL "250 ok",
      .envelope = "from=s@a.test\nrcpt=r@b.test\norcpt=utf-8;bj\xc3\xb6rn@b.test\narrival=1\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7\n"
                         "RCPT TO:<r@b.test> ORCPT=utf-8;bj\\x{F6}rn@b.test\nDATA\n" },
    { .name = "priority and time, offered",
      .server = HELLO_ALL "250 ok",
      .by_seconds = 120,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\npriority=-3\nby=return\nby-trace=yes\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7 MT-PRIORITY=-3 BY=120;RT\n"
                         "RCPT TO:<r@b.test>\nDATA\n" },
    { .name = "time that is past, with a notice",
      .server = HELLO_ALL "250 ok",
      .by_seconds = -5,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\nby=notify\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7 BY=-5;N\n"
                         "RCPT TO:<r@b.test>\nDATA\n" },
    { .name = "not enough time for the host",
      .server = HELLO_ALL "221 bye",
      .by_seconds = 59,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\nby=return\n",
      .transcript = EHLO "[start]\n[rest failed 5.4.7]\n" QUIT BYE },
    { .name = "a host that would not send it back in time",
      .server = HELLO "221 bye",
      .by_seconds = 120,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\nby=return\n",
      .transcript = EHLO "[start]\n[rest failed 5.3.3]\n" QUIT BYE },
    { .name = "priority and time, not offered",
      .server = HELLO "250 ok",
      .by_seconds = 120,
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\npriority=9\nby=notify\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7\nRCPT TO:<r@b.test>\nDATA\n" },

    /* ---- LMTP ---- */
    { .name = "LMTP: a reply for each recipient",
      .server = HELLO "250 ok\n250 ok\n550 5.1.1 who\n250 ok\n354 go|BODY|"
                      "250 2.0.0 saved\n552 5.2.2 full|221 bye",
      .lmtp = true,
      .rcpts = 3,
      .transcript = "LHLO me.test\n[start]\nMAIL FROM:<s@a.test> SIZE=7\n" RCPTS
                    "RCPT TO:<r2@b.test>\nDATA\n[1 failed 550 5.1.1]\n[body]\n"
                    "[0 delivered 250 2.0.0]\n[2 failed 552 5.2.2]\n" QUIT BYE },
    { .name = "LMTP: replies one by one",
      .server = HELLO TAKES "|BODY|451 4.3.0 later|250 saved|221 bye",
      .lmtp = true,
      .transcript = "LHLO me.test\n" GROUP "[body]\n[0 deferred 451 4.3.0]\n"
                    "[1 delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "LMTP: closed before all have their reply",
      .server = HELLO TAKES "|BODY|250 saved|EOF",
      .lmtp = true,
      .transcript = "LHLO me.test\n" GROUP "[body]\n[0 delivered 250 2.0.0]\n[over deferred 4.4.2 "
                    "message: closed while waiting for the reply to the message]\n" },
    { .name = "LMTP: 421 among the replies",
      .server = HELLO TAKES "|BODY|421 4.3.2 bye",
      .lmtp = true,
      .transcript = "LHLO me.test\n" GROUP "[body]\n[0 deferred 421 4.3.2]\n[over deferred 421 "
                    "4.3.2 destination: bye while waiting for the reply to the message]\n" },
    { .name = "LMTP: two messages",
      .server = HELLO TAKES "|BODY|250 a\n250 b|" TAKES "|BODY|250 a\n250 b|221 bye",
      .lmtp = true,
      .messages = 2,
      .transcript = "LHLO me.test\n" GROUP "[body]\n[0 delivered 250 2.0.0]\n"
                    "[1 delivered 250 2.0.0]\n" GROUP "[body]\n[0 delivered 250 2.0.0]\n"
                    "[1 delivered 250 2.0.0]\n" QUIT BYE },
    { .name = "LMTP: no HELO",
      .server = "220 mx|500 what",
      .lmtp = true,
      .transcript = "LHLO me.test\nQUIT\n[over deferred 500 4.0.0 destination: what while sending "
                    "EHLO]\n" },

    /* ---- beyond ASCII ---- */
    { .name = "SMTPUTF8, offered",
      .server = HELLO_ALL "250 ok",
      .envelope = "from=s\xc3\xb6@a.test\nrcpt=r@b\xc3\xbc"
                  "cher.test\narrival=1\nsmtputf8=yes\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s\xc3\xb6@a.test> SIZE=7 SMTPUTF8\n"
                         "RCPT TO:<r@b\xc3\xbc"
                         "cher.test>\nDATA\n" },
    { .name = "domains beyond ASCII, not offered",
      .server = HELLO "250 ok",
      .envelope = "from=s@b\xc3\xbc"
                  "cher.test\nrcpt=r@B\xc3\xbc"
                  "cher.test\narrival=1\nsmtputf8=yes\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@xn--bcher-kva.test> SIZE=7\n"
                         "RCPT TO:<r@xn--bcher-kva.test>\nDATA\n" },
    { .name = "UTF-8 in the header alone, not offered",
      .server = HELLO "250 ok",
      .envelope = "from=s@a.test\nrcpt=r@b.test\narrival=1\nsmtputf8=yes\nbody=8bit\n",
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7 BODY=8BITMIME\n"
                         "RCPT TO:<r@b.test>\nDATA\n" },
    { .name = "a sender beyond ASCII, not offered",
      .server = HELLO "221 bye",
      .envelope = "from=s\xc3\xb6@a.test\nrcpt=r@b.test\narrival=1\nsmtputf8=yes\n",
      .transcript = EHLO "[start]\n[rest failed 5.6.7]\n" QUIT BYE },

    /* ---- recipients ---- */
    { .name = "one recipient refused",
      .server = HELLO "250 ok\n550 5.1.1 who\n250 ok\n354 go|BODY|250 taken",
      .transcript = GREETED "[0 failed 550 5.1.1]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "one recipient put off",
      .server = HELLO "250 ok\n250 ok\n450 4.2.1 later\n354 go|BODY|250 taken",
      .transcript = GREETED "[1 deferred 450 4.2.1]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "one refused, one put off, then 503",
      .server = HELLO "250 ok\n550 who\n450 later\n503 no recipients|250 reset|221 bye",
      .transcript = GREETED "[0 failed 550 5.0.0]\n[1 deferred 450 4.0.0]\nRSET\n" QUIT BYE },
    { .name = "all refused, but 354",
      .server = HELLO "250 ok\n550 who\n550 who\n354 go|554 no recipients|250 reset|221 bye",
      .transcript = GREETED "[0 failed 550 5.0.0]\n[1 failed 550 5.0.0]\n.\nRSET\n" QUIT BYE },
    { .name = "all refused, but 354 and 250",
      .server = HELLO "250 ok\n550 who\n550 who\n354 go|250 taken|250 reset|221 bye",
      .transcript = GREETED "[0 failed 550 5.0.0]\n[1 failed 550 5.0.0]\n.\nRSET\n" QUIT BYE },
    { .name = "all refused one by one: no DATA",
      .server = HELLO_SLOW "250 ok|550 who|553 who|250 reset|221 bye",
      .transcript =
          EHLO MAIL RCPT0 "[0 failed 550 5.0.0]\n" RCPT1 "[1 failed 553 5.0.0]\nRSET\n" QUIT BYE },
    { .name = "552 is too many recipients",
      .server = HELLO "250 ok\n250 ok\n552 too many\n354 go|BODY|250 taken",
      .transcript = GREETED "[1 later]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "so is 452",
      .server = HELLO "250 ok\n250 ok\n452 too many\n354 go|BODY|250 taken",
      .transcript = GREETED "[1 later]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "452 4.5.3, and the message is refused",
      .server = HELLO "250 ok\n250 ok\n452 4.5.3 one at a time\n354 go|BODY|554 5.7.1 no|250 reset",
      .transcript = GREETED "[1 later, full]\n[body]\n[rest failed 554 5.7.1]\nRSET\n" QUIT },
    { .name = "452 4.2.2 is a full mailbox",
      .server = HELLO "250 ok\n250 ok\n452 4.2.2 full\n354 go|BODY|250 taken",
      .transcript = GREETED "[1 deferred 452 4.2.2]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "one recipient is too many",
      .server = HELLO "250 ok\n452 4.5.3 too many\n250 ok\n354 go|BODY|250 taken",
      .transcript = GREETED "[0 deferred 452 4.5.3]\n[body]\n[rest delivered 250 2.0.0]\n" QUIT },
    { .name = "451 4.5.3 is too many recipients",
      .server = HELLO "250 ok\n250 ok\n451 4.5.3 too many\n354 go",
      .transcript = GREETED "[1 later, full]\n" },
    { .name = "552 5.5.3 is too many recipients",
      .server = HELLO "250 ok\n250 ok\n552 5.5.3 too many\n354 go",
      .transcript = GREETED "[1 later, full]\n" },
    { .name = "so is any code with X.5.3, behind one that was taken",
      .server = HELLO "250 ok\n250 ok\n550 5.5.3 too many\n354 go",
      .transcript = GREETED "[1 later, full]\n" },
    { .name = "one that others are taken behind shows no limit, whoever is refused last",
      .server = HELLO "250 ok\n250 ok\n452 4.5.3 full\n250 ok\n550 who\n354 go",
      .rcpts = 4,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7\n" RCPTS
                         "RCPT TO:<r2@b.test>\nRCPT TO:<r3@b.test>\nDATA\n[1 later]\n"
                         "[3 failed 550 5.0.0]\n" },
    { .name = "nor do two full mailboxes",
      .server = HELLO "250 ok\n250 ok\n452 full\n250 ok\n452 full\n354 go",
      .rcpts = 4,
      .transcript = EHLO "[start]\nMAIL FROM:<s@a.test> SIZE=7\n" RCPTS
                         "RCPT TO:<r2@b.test>\nRCPT TO:<r3@b.test>\nDATA\n[1 later]\n"
                         "[3 later]\n" },
    { .name = "the first one is never too many",
      .server = HELLO "250 ok\n550 5.5.3 not for you\n250 ok\n354 go",
      .transcript = GREETED "[0 failed 550 5.5.3]\n" },
    { .name = "552 5.2.2 is a full mailbox",
      .server = HELLO "250 ok\n250 ok\n552 5.2.2 full\n354 go",
      .transcript = GREETED "[1 failed 552 5.2.2]\n" },
    { .name = "421 to a recipient decides nothing",
      .server = HELLO "250 ok\n421 4.3.2 closing",
      .transcript = GREETED "[over deferred 421 4.3.2 message: closing while sending RCPT TO]\n" },

    /* ---- the message refused ---- */
    { .name = "sender refused",
      .server = HELLO "550 5.7.1 no\n503 no\n503 no\n503 no|250 reset|221 bye",
      .transcript = GREETED "[rest failed 550 5.7.1]\nRSET\n" QUIT BYE },
    { .name = "sender put off one by one: nothing follows",
      .server = HELLO_SLOW "451 later|250 reset|221 bye",
      .transcript = EHLO MAIL "[rest deferred 451 4.0.0]\nRSET\n" QUIT BYE },
    { .name = "sender refused, everything else taken",
      .server = HELLO "550 no\n250 ok\n250 ok\n354 go|250 taken|250 reset|221 bye",
      .transcript = GREETED "[rest failed 550 5.0.0]\n.\nRSET\n" QUIT BYE },
    { .name = "421 to MAIL",
      .server = HELLO "421 later",
      .transcript =
          GREETED "[over deferred 421 4.0.0 destination: later while sending MAIL FROM]\n" },
    { .name = "DATA refused",
      .server = HELLO TAKEN "\n554 5.5.1 no|250 reset",
      .transcript = GREETED "[rest failed 554 5.5.1]\nRSET\n" QUIT },
    { .name = "DATA put off",
      .server = HELLO TAKEN "\n451 no|250 reset",
      .transcript = GREETED "[rest deferred 451 4.0.0]\nRSET\n" QUIT },
    { .name = "421 to DATA",
      .server = HELLO TAKEN "\n421 no",
      .transcript = GREETED "[over deferred 421 4.0.0 message: no while sending DATA]\n" },
    { .name = "refused after the dot",
      .server = HELLO TAKES "|BODY|554 5.6.0 spam|250 reset",
      .transcript = GREETED "[body]\n[rest failed 554 5.6.0]\nRSET\n" QUIT },
    { .name = "put off after the dot",
      .server = HELLO TAKES "|BODY|452 4.3.1 full|250 reset",
      .transcript = GREETED "[body]\n[rest deferred 452 4.3.1]\nRSET\n" QUIT },
    { .name = "421 after the dot",
      .server = HELLO TAKES "|BODY|421 4.3.0 bye",
      .transcript = GREETED "[body]\n[rest deferred 421 4.3.0]\n[over deferred 421 4.3.0 "
                            "destination: bye while waiting for the reply to the message]\n" },
    { .name = "refused before the dot",
      .server = HELLO TAKES "|552 5.3.4 too big",
      .transcript = GREETED "[rest failed 552 5.3.4]\n[over deferred 552 4.3.4 message: too big "
                            "while sending the message]\n" },
    { .name = "taken before the dot is not taken",
      .server = HELLO TAKES "|250 taken",
      .transcript = GREETED "[over deferred 4.5.0 message: a reply before the end of the message "
                            "while sending the message]\n" },
    { .name = "RSET refused",
      .server = HELLO TAKEN "\n554 no|500 what",
      .transcript = GREETED "[rest failed 554 5.0.0]\nRSET\nQUIT\n[over deferred 500 4.0.0 "
                            "destination: what while sending RSET]\n" },

};

static void holds_dialogues(void **state)
{
    (void)state;
    dialogue_check(cases, COUNT_OF(cases));
}

/* More recipients than the window holds: the rest is said as replies come. */
static void keeps_the_window(void **state)
{
    static char server[16384], room[65536];
    struct buf script = BUF_ON_ARRAY(server);
    struct buf transcript = BUF_ON_ARRAY(room);
    struct dialogue d = { .name = "window", .rcpts = 150 };
    struct view rest;
    size_t rcpts = 0;

    (void)state;
    buf_put(&script, VIEW(HELLO));
    for (unsigned i = 0; i < 151; i++)
        buf_put(&script, VIEW("250 ok|"));
    buf_put(&script, VIEW("354 go|BODY|250 taken|"));
    buf_put_byte(&script, '\0');
    d.server = server;
    dialogue_run(&d, (struct cutter){ SIZE_MAX, NULL }, &transcript);
    for (rest = buf_view(&transcript); rest.len > 0;) {
        struct view line;

        assert_true(view_take_line(&rest, &line));
        rcpts += view_starts(line, VIEW("RCPT TO:"));
    }
    assert_int_equal(rcpts, 150);
    assert_true(view_find_view(buf_view(&transcript),
                               VIEW("<r149@b.test>\nDATA\n[body]\n[rest delivered 250 2.0.0]\n")) <
                buf_len(&transcript));
}

/* A message to one, for a host that says this to EHLO. */
static void greet(struct client *c, const char *words, const struct timeouts_settings *t)
{
    struct view hello = VIEW("220 x\r\n"), ehlo = view_of(words);
    struct client_verdict v;

    client_init(c, VIEW("me.test"), (struct tls_policy){ .level = ROUTE_TLS_NONE }, false);
    assert_int_equal(client_timeout_ms(c, t), t->greeting);
    assert_false(client_hear(c, &hello, &v));
    assert_false(client_hear(c, &ehlo, &v));
}

static void start(struct client *c, bool chunk)
{
    static const struct envelope_rcpt rcpt = { .address = VIEW_INIT("a@b.test") };
    static const struct envelope e = { .rcpts = &rcpt, .rcpt_count = 1 };
    static const uint32_t batch[] = { 0 };
    const struct client_message m = {
        .envelope = &e, .rcpts = batch, .rcpt_count = 1, .chunk = chunk
    };
    struct client_verdict v;

    assert_false(client_start(c, &m, &v));
}

static void knows_when_the_dot_is_past(void **state)
{
    static struct client c;
    struct view taken = VIEW("250 x\r\n250 x\r\n354 x\r\n");
    struct timeouts_settings t = { .greeting = 1, .mail = 2, .block = 3, .final = 4 };
    struct client_verdict v;

    (void)state;
    greet(&c, "250-x\r\n250 PIPELINING\r\n", &t);
    start(&c, false);
    assert_int_equal(client_timeout_ms(&c, &t), 2);
    assert_false(client_hear(&c, &taken, &v));
    assert_int_equal(client_wish(&c), CLIENT_WISH_BODY);
    assert_int_equal(client_timeout_ms(&c, &t), 3);
    assert_false(client_is_past_dot(&c));
    client_body_sent(&c);
    assert_int_equal(client_timeout_ms(&c, &t), 4);
    assert_true(client_is_past_dot(&c));
    client_lost(&c, VIEW("closed"));
    assert_true(client_is_past_dot(&c));
    client_release(&c);
}

/* With replies to come about those before it. */
static void knows_when_the_chunk_is_past(void **state)
{
    static struct client c;
    static const struct timeouts_settings t = { .greeting = 1 };
    struct view mail = VIEW("250 x\r\n"), no = VIEW("550 x\r\n");
    struct client_verdict v;

    (void)state;
    greet(&c, "250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n", &t);
    start(&c, true);
    assert_int_equal(client_wish(&c), CLIENT_WISH_CHUNK);
    assert_false(client_is_past_dot(&c));
    client_body_sent(&c);
    assert_true(client_is_past_dot(&c));
    assert_false(client_hear(&c, &mail, &v));
    assert_true(client_is_past_dot(&c));
    assert_true(client_hear(&c, &no, &v)); /* the only recipient */
    assert_false(client_is_past_dot(&c));
    client_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_dialogues),
        cmocka_unit_test(keeps_the_window),
        cmocka_unit_test(knows_when_the_dot_is_past),
        cmocka_unit_test(knows_when_the_chunk_is_past),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
