/* A dialogue with the client engine: what the server says in turns, and a transcript of what the
 * client said, decided and wished. */
#ifndef TESTS_UNIT_DELIVERY_DIALOGUE_H
#define TESTS_UNIT_DELIVERY_DIALOGUE_H

#include "delivery/client.h"

/* What servers and clients say again and again. */
#define HELLO "220 mx.test ESMTP|250-mx.test\n250-SIZE 1000\n250-8BITMIME\n250 PIPELINING|"
#define HELLO_ALL                                                                                  \
    "220 mx.test ESMTP|250-mx.test\n250-SIZE 1000\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n"          \
    "250-MT-PRIORITY STANAG4406\n250-DELIVERBY 60\n250 PIPELINING|"
#define HELLO_SLOW  "220 mx.test ESMTP|250 mx.test|"
#define HELLO_TLS   "220 mx.test ESMTP|250-mx.test\n250-STARTTLS\n250 PIPELINING|"
#define HELLO_CHUNK "220 mx.test ESMTP|250-mx.test\n250-CHUNKING\n250 PIPELINING|"
#define EHLO        "EHLO me.test\n"
#define RCPTS       "RCPT TO:<r0@b.test>\nRCPT TO:<r1@b.test>\n"
#define GROUP       "[start]\nMAIL FROM:<s@a.test> SIZE=7\n" RCPTS "DATA\n"
#define GREETED     EHLO GROUP
#define MAIL        "[start]\nMAIL FROM:<s@a.test>\n"
#define RCPT0       "RCPT TO:<r0@b.test>\n"
#define RCPT1       "RCPT TO:<r1@b.test>\n"
#define QUIT        "[quit]\nQUIT\n"
#define BYE         "[over deferred 221 4.0.0 destination: bye while sending QUIT]\n"
#define GROUP_SMALL "[start]\nMAIL FROM:<s@a.test>\n" RCPTS "BDAT 7 LAST\n"
#define GROUP_CHUNK GROUP_SMALL "[chunk]\n"
#define GROUP_PLAIN "[start]\nMAIL FROM:<s@a.test>\n" RCPTS "DATA\n"
#define GROUP_LARGE "[start]\nMAIL FROM:<s@a.test>\n" RCPTS "BDAT 100000 LAST\n"
#define TAKEN       "250 ok\n250 ok\n250 ok"
#define TAKES       TAKEN "\n354 go"

struct dialogue {
    const char *name;
    /* Turns, with '|' between them; each is heard when the client has said all it can. A line ends
     * in "\n", sent as CRLF. A turn "EOF" is the end of the connection, "LATE" the end of
     * patience. */
    const char *server;
    /* What the client said, line by line as "...\n", and between it:
     *   [tls] [body] [chunk] [start] [quit]   wishes, as they are fulfilled
     *   [1 failed 550 5.1.1]          a verdict on a recipient, by number, or on the "rest"
     *   [1 later]                     it is to come in another transaction
     *   [over deferred 4.4.2 destination: text while doing] */
    const char *transcript;
    enum route_tls tls;
    bool implicit;
    unsigned rcpts;    /* default 2 */
    unsigned messages; /* default 1 */
    uint64_t bytes;    /* default 7 */
    bool eight_bit;
    const char *envelope; /* encoded, in place of the usual one with `rcpts` recipients */
    int64_t by_seconds;
    bool onward, lmtp;
    bool mx;     /* the host was found by the domain's MX records */
    bool broken; /* TLS failed at the host a while ago */
    const char *secret; /* log in as "me" with it; needs .tls = ROUTE_TLS_VERIFY */
    bool token;
    bool chunk, slow; /* may go as a chunk; which is sent only in a turn "BODY" */
    bool whole_only;  /* what is cut comes out another way, rightly */
};

/* How a turn is cut into pieces. */
struct cutter {
    size_t most;    /* bytes of a piece */
    uint64_t *seed; /* NULL: always as long as possible */
};

/* All of them: whole, byte by byte, and cut at random. */
void dialogue_check(const struct dialogue *cases, size_t count);
void dialogue_run(const struct dialogue *d, struct cutter how, struct buf *transcript);

#endif
