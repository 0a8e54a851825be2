/* Replies: what a server says and what a client hears (RFC 5321, 4.2; RFC 2034, RFC 3463). */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include "common/buf.h"
#include "common/view.h"

enum {
    REPLY_LINE_MAX = 2048, /* bytes of one line, CRLF included; RFC 5321, 4.5.3.1.5 asks for 512 */
    REPLY_LINES_MAX = 100, /* lines of one reply */
    REPLY_TEXT_MAX = 4096, /* bytes kept of the text; the rest is read and dropped */
};

struct enhanced {
    uint8_t class; /* 2, 4, 5; 0: there is none */
    uint16_t subject, detail;
};

/* "5.1.1" and nothing else, or followed by a space; moves *text behind it. */
bool enhanced_take(struct view *text, struct enhanced *out) MUST_USE;
bool enhanced_print(struct enhanced e, struct buf *out); /* nothing for class 0 */

/* Reads one reply, strictly: three digits (first 2 to 5), "-" or " " (or the line's end right after
 * the code), same code on each line, limits above, text without CR and NUL. Anything else is
 * malformed: the connection is dead. Not strictly in two things that leave no doubt of what is
 * meant: the second digit, and LF without CR (RFC 5321, 2.3.8 is for what is sent). */
struct reply {
    unsigned code;
    struct enhanced enhanced; /* of the first line, if its class agrees with the code */
    struct view text;         /* without codes; lines joined by '\n'; borrows from the parser */
};

struct reply_parser {
    char line[REPLY_LINE_MAX];
    size_t line_len;
    char text[REPLY_TEXT_MAX];
    size_t text_len;
    unsigned lines, code;
    struct enhanced enhanced;
};

enum reply_status { REPLY_MORE, REPLY_READY, REPLY_MALFORMED };

void reply_start(struct reply_parser *p);
/* Uses up bytes from the front of *input until a reply is whole. After REPLY_READY *out
 * is valid until the next call, which starts with the next reply. */
enum reply_status reply_feed(struct reply_parser *p, struct view *input,
                             struct reply *out) MUST_USE;

/* A server's reply line, "250 2.1.0 text\r\n"; "\n" in the text makes it multi-line.
 * `enhanced` may be NULL. */
bool reply_print(unsigned code, const char *enhanced, struct view text, struct buf *out);

#endif
