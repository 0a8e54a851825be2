#include "mail/bounce.h"

#include "mail/body.h"
#include "mail/trace.h"

#include <string.h>

enum {
    TEXT_WIDTH = 72,      /* columns of what people read */
    LINE_MAX = 998,       /* bytes without CRLF; RFC 5322, 2.1.1 */
    QP_WIDTH = 75,        /* columns before a soft line break; RFC 2045, 6.7 */
    MESSAGE_ID_MAX = 250, /* bytes of the original's, that References may repeat */
    SUBJECT_MAX = 200,    /* bytes of the original's that are shown */
    HOST_MAX = 240,       /* bytes shown; "\xNN" for each still fits a line */
    DOING_MAX = 80,       /* bytes shown */
};

/* Appends until something does not fit; then nothing more, and the result is false. Foreign
 * bytes go through put_foreign: they can neither end a line nor leave 7 bits. */
static void put(struct buf *out, struct view v)
{
    if (!out->overflowed)
        buf_put(out, v);
}

static void put_text(struct buf *out, const char *text)
{
    put(out, view_of(text));
}

/* A byte of a foreign text as it is shown: itself, a blank, or "\xNN". Its width. */
static size_t show_byte(char c, char shown[4])
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char n = (unsigned char)c;

    if (c == '\t' || c == '\r') {
        shown[0] = ' ';
        return 1;
    }
    if (n >= 32 && n < 127) {
        shown[0] = c;
        return 1;
    }
    memcpy(shown, "\\x", 2);
    shown[2] = digits[n >> 4];
    shown[3] = digits[n & 15];
    return 4;
}

static void put_foreign(struct buf *out, struct view v)
{
    char shown[4];

    for (size_t i = 0; i < v.len; i++)
        put(out, view_make(shown, show_byte(v.ptr[i], shown)));
}

/* One line of a foreign text, broken at TEXT_WIDTH: at a blank where there is one. Each line
 * gets `indent` in front and CRLF behind. */
static void put_wrapped_line(struct buf *out, const char *indent, struct view line)
{
    char shown[4];

    while (line.len > 0) {
        size_t end = 0, blank = 0, width = 0;

        while (end < line.len && width < TEXT_WIDTH) {
            if (line.ptr[end] == ' ')
                blank = end;
            width += show_byte(line.ptr[end++], shown);
        }
        if (end < line.len && blank > 0)
            end = blank;
        put_text(out, indent);
        put_foreign(out, view_sub(line, 0, end));
        put_text(out, "\r\n");
        line = view_trim(view_from(line, end));
    }
}

/* Lines without anything in them are left out: in a header they would end it. */
static void put_wrapped(struct buf *out, const char *indent, struct view text)
{
    while (text.len > 0) {
        struct view line = view_take_until(&text, '\n');

        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        put_wrapped_line(out, indent, view_trim(line));
    }
}

static void put_date(struct buf *out, uint64_t wall_ms)
{
    if (!trace_date(wall_ms, out))
        out->overflowed = true;
}

/* "=_" cannot stand in quoted-printable, and no other line begins with foreign bytes. */
static void put_boundary(const struct bounce *b, struct buf *out)
{
    buf_printf(out, "=_tern_%016llx%016llx", (unsigned long long)b->now_ms,
               (unsigned long long)b->unique);
}

static void put_delimiter(const struct bounce *b, const char *end, struct buf *out)
{
    put_text(out, "\r\n--");
    put_boundary(b, out);
    put_text(out, end);
    put_text(out, "\r\n");
}

/* msg-id, strict enough to be repeated in a field of our own */
static bool message_id_valid(struct view id)
{
    if (id.len < 3 || id.len > MESSAGE_ID_MAX || id.ptr[0] != '<' || id.ptr[id.len - 1] != '>')
        return false;
    for (size_t i = 1; i + 1 < id.len; i++) {
        if (id.ptr[i] <= ' ' || id.ptr[i] >= 127 || id.ptr[i] == '<' || id.ptr[i] == '>')
            return false;
    }
    return true;
}

static void put_references(const struct bounce *b, struct buf *out)
{
    struct view id;

    if (!header_find(b->header, VIEW("Message-ID"), &id) || !message_id_valid(id))
        return;
    put_text(out, "References: ");
    put(out, id);
    put_text(out, "\r\n");
}

static void put_header(const struct bounce *b, struct buf *out)
{
    put_text(out, "Date: ");
    put_date(out, b->now_ms);
    put_text(out, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@");
    put(out, b->hostname);
    put_text(out, ">\r\nTo: <");
    put_foreign(out, b->envelope->sender);
    put_text(out, ">\r\nSubject: ");
    put_text(out, b->delay ? "Your message is delayed" : "Your message could not be delivered");
    buf_printf(out, "\r\nMessage-ID: <%llx.%llx@", (unsigned long long)b->now_ms,
               (unsigned long long)b->unique);
    put(out, b->hostname);
    put_text(out, ">\r\n");
    put_references(b, out);
    put_text(out, "Auto-Submitted: auto-replied\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                  "\tboundary=\"");
    put_boundary(b, out);
    put_text(out, "\"\r\n");
}

static void put_about(const struct bounce *b, struct buf *out)
{
    char room[SUBJECT_MAX + 16];
    struct buf words = BUF_ON_ARRAY(room);
    struct view subject;

    put_text(out, "This is the mail server ");
    put(out, b->hostname);
    put_text(out, ".\r\n\r\n");
    put_text(out, b->delay ? "A message that you sent has not reached everybody yet:\r\n\r\n"
                           : "A message that you sent could not be delivered:\r\n\r\n");
    if (header_find(b->header, VIEW("Subject"), &subject)) {
        buf_printf(&words, "Subject: %.*s", VIEW_ARG(view_sub(subject, 0, SUBJECT_MAX)));
        put_wrapped(out, "    ", buf_view(&words));
    }
    put_text(out, "    Received here: ");
    put_date(out, b->envelope->arrival_ms);
    put_text(out, "\r\n\r\n");
}

/* What a status code means for the sender; the first that fits. RFC 3463 */
static const struct hint {
    uint8_t subject, detail; /* detail 0: all of the subject */
    const char *text;
} hints[] = {
    { 1, 1, "There is no such mailbox: please check the address for a typing error." },
    { 1, 2, "The domain does not exist or takes no mail: please check it for a typing error." },
    { 1, 10, "The domain takes no mail: please check it for a typing error." },
    { 1, 0, "Please check the address for a typing error." },
    { 2, 2, "The mailbox is full: please try again later, or reach the person another way." },
    { 2, 3, "The message is too big for this mailbox: please send a smaller one." },
    { 3, 4, "The message is too big for that server: please send a smaller one." },
    { 7, 0, "The server refuses such mail: its administrator can tell why." },
};

static const char *hint_for(struct enhanced e)
{
    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        if (hints[i].subject == e.subject && (hints[i].detail == 0 || hints[i].detail == e.detail))
            return hints[i].text;
    }
    return NULL;
}

/* Within the lengths that bounce_room reckons with. */
static struct outcome clip(const struct outcome *o)
{
    struct outcome c = *o;

    c.text = view_sub(c.text, 0, OUTCOME_TEXT_MAX);
    c.host = view_sub(c.host, 0, HOST_MAX);
    c.doing = view_sub(c.doing, 0, DOING_MAX);
    return c;
}

static bool answered(const struct outcome *o)
{
    return o->code > 0 && o->host.len > 0;
}

/* "550 5.1.1 No such user", in as many lines as the server sent */
static void print_answer(const struct outcome *o, struct buf *words)
{
    buf_printf(words, "%u ", o->code);
    enhanced_print(o->enhanced, words);
    buf_put_byte(words, ' ');
    buf_put(words, o->text);
}

/* Who said it, and when in the dialogue; or what Tern itself found out. */
static void put_reason(const struct outcome *o, struct buf *out)
{
    char room[OUTCOME_TEXT_MAX + HOST_MAX + DOING_MAX + 64];
    struct buf words = BUF_ON_ARRAY(room);

    if (!answered(o)) {
        outcome_print(o, &words);
        put_wrapped(out, "    ", buf_view(&words));
        return;
    }
    buf_put(&words, o->host);
    if (o->doing.len > 0)
        buf_printf(&words, " answered while %.*s:", VIEW_ARG(o->doing));
    else
        buf_put(&words, VIEW(" answered:"));
    put_wrapped(out, "    ", buf_view(&words));
    buf_clear(&words);
    print_answer(o, &words);
    put_wrapped(out, "        ", buf_view(&words));
}

static void put_rcpt(const struct bounce *b, const struct bounce_rcpt *r, struct buf *out)
{
    const char *hint = b->delay || r->expired ? NULL : hint_for(r->outcome->enhanced);
    struct outcome o = clip(r->outcome);

    put_text(out, "<");
    put_foreign(out, r->address);
    put_text(out, ">\r\n");
    put_reason(&o, out);
    if (hint != NULL)
        put_wrapped(out, "    ", view_of(hint));
    if (r->expired)
        put_text(out, "    All attempts until now failed, and the time for it is over.\r\n");
    if (b->delay && r->expires_ms > 0) {
        put_text(out, "    Further attempts will be made until ");
        put_date(out, r->expires_ms);
        put_text(out, "\r\n");
    }
    put_text(out, "\r\n");
}

static void put_advice(const struct bounce *b, struct buf *out)
{
    if (b->delay)
        put_text(out, "You need not send the message again. This server keeps trying, and\r\n"
                      "tells you should it give up.\r\n");
    else
        put_text(out, "No further attempts will be made for the addresses above. Other\r\n"
                      "recipients of the message are not affected.\r\n");
    put_text(out, "The administrator of this server finds the message by its number,\r\n");
    put(out, b->message_id);
    put_text(out, ".\r\n");
}

static void put_words(const struct bounce *b, struct buf *out)
{
    put_delimiter(b, "", out);
    put_text(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    put_about(b, out);
    for (size_t i = 0; i < b->rcpt_count; i++)
        put_rcpt(b, &b->rcpts[i], out);
    put_advice(b, out);
}

/* "mx1.example.org" of "mx1.example.org[192.0.2.1]:25", or the address if there is no name */
static struct view remote_name(struct view host)
{
    size_t bracket = view_find(host, '[');

    return bracket > 0 ? view_sub(host, 0, bracket) : host;
}

/* Diagnostic-Code; RFC 3464, 2.3.6 */
static void put_diagnostic(const struct outcome *o, struct buf *out)
{
    char room[OUTCOME_TEXT_MAX + 64];
    struct buf words = BUF_ON_ARRAY(room);

    if (answered(o))
        print_answer(o, &words);
    else
        buf_put(&words, o->text);
    put_text(out, answered(o) ? "Diagnostic-Code: smtp;\r\n" : "Diagnostic-Code: x-tern;\r\n");
    put_wrapped(out, "\t", buf_view(&words));
}

static void put_rcpt_status(const struct bounce *b, const struct bounce_rcpt *r, struct buf *out)
{
    struct outcome o = clip(r->outcome);

    put_text(out, "\r\nFinal-Recipient: rfc822; ");
    put_foreign(out, r->address);
    put_text(out, b->delay ? "\r\nAction: delayed\r\nStatus: " : "\r\nAction: failed\r\nStatus: ");
    enhanced_print(o.enhanced, out);
    put_text(out, "\r\n");
    if (o.host.len > 0) {
        put_text(out, "Remote-MTA: dns; ");
        put_foreign(out, remote_name(o.host));
        put_text(out, "\r\n");
    }
    if (o.text.len > 0)
        put_diagnostic(&o, out);
    if (r->attempted_ms > 0) {
        put_text(out, "Last-Attempt-Date: ");
        put_date(out, r->attempted_ms);
        put_text(out, "\r\n");
    }
    if (b->delay && r->expires_ms > 0) {
        put_text(out, "Will-Retry-Until: ");
        put_date(out, r->expires_ms);
        put_text(out, "\r\n");
    }
}

static void put_status(const struct bounce *b, struct buf *out)
{
    put_delimiter(b, "", out);
    put_text(out, "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; ");
    put(out, b->hostname);
    put_text(out, "\r\nX-Tern-Message: ");
    put(out, b->message_id);
    put_text(out, "\r\nArrival-Date: ");
    put_date(out, b->envelope->arrival_ms);
    put_text(out, "\r\n");
    for (size_t i = 0; i < b->rcpt_count; i++)
        put_rcpt_status(b, &b->rcpts[i], out);
}

/* Whole lines of the header, up to the limit. */
static struct view cut_header(struct view header)
{
    if (header.len <= BOUNCE_HEADER_MAX)
        return header;
    header.len = BOUNCE_HEADER_MAX;
    header.len = view_find_last(header, '\n');
    return view_sub(header, 0, header.len == BOUNCE_HEADER_MAX ? header.len : header.len + 1);
}

/* May stand in the notice as it is: 7 bits, short lines in CRLF, and nothing that could be taken
 * for a boundary. */
static bool header_plain(struct view header)
{
    struct view line;

    for (size_t i = 0; i < header.len; i++) {
        if ((unsigned char)header.ptr[i] >= 127 || header.ptr[i] == '\0')
            return false;
    }
    if (view_find_view(header, VIEW("=_tern_")) < header.len)
        return false;
    while (header.len > 0) {
        size_t end = view_find_view(header, VIEW("\r\n"));

        line = view_sub(header, 0, end);
        if (end == header.len || end > LINE_MAX || view_has(line, '\r') || view_has(line, '\n'))
            return false;
        header = view_from(header, end + 2);
    }
    return true;
}

/* quoted-printable = text with "=XX" for what is not printable, and soft breaks; RFC 2045, 6.7 */
static void put_quoted(struct buf *out, struct view v)
{
    size_t width = 0;

    while (v.len > 0) {
        unsigned char c = (unsigned char)v.ptr[0];
        bool plain = (c > ' ' && c < 127 && c != '=') ||
                     ((c == ' ' || c == '\t') && v.len > 1 && v.ptr[1] != '\r');

        if (view_take(&v, VIEW("\r\n"))) {
            put_text(out, "\r\n");
            width = 0;
            continue;
        }
        if (width + (plain ? 1 : 3) > QP_WIDTH) {
            put_text(out, "=\r\n");
            width = 0;
        }
        if (plain)
            put(out, view_sub(v, 0, 1));
        else
            buf_printf(out, "=%02X", c);
        width += plain ? 1 : 3;
        v = view_from(v, 1);
    }
}

static void put_original(const struct bounce *b, struct buf *out)
{
    struct view header = cut_header(b->header);

    put_delimiter(b, "", out);
    put_text(out, "Content-Type: text/rfc822-headers\r\n");
    if (header_plain(header)) {
        put_text(out, "\r\n");
        put(out, header);
    } else {
        put_text(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        put_quoted(out, header);
    }
}

enum {
    ROOM_FIXED = 6144,  /* bytes: our own words, once, and the subject */
    ROOM_RCPT = 1024,   /* bytes: our own words, for a recipient */
    ROOM_HOSTNAMES = 5, /* times it is written */
    ROOM_ADDRESS = 8,   /* bytes for one: "\xNN", in both parts */
    ROOM_TEXT = 16,     /* bytes for one: "\xNN" or a line of its own, in both parts */
    ROOM_HEADER = 4,    /* bytes for one: "=XX" and soft breaks */
};

size_t bounce_room(const struct bounce *b)
{
    size_t room = ROOM_FIXED + ROOM_HOSTNAMES * b->hostname.len + 2 * b->message_id.len +
                  ROOM_ADDRESS * b->envelope->sender.len +
                  ROOM_HEADER * MIN(b->header.len, (size_t)BOUNCE_HEADER_MAX);

    for (size_t i = 0; i < b->rcpt_count; i++) {
        struct outcome o = clip(b->rcpts[i].outcome);

        room += ROOM_RCPT + ROOM_ADDRESS * b->rcpts[i].address.len +
                ROOM_TEXT * (o.text.len + o.host.len + o.doing.len);
    }
    return room;
}

bool bounce_write(const struct bounce *b, struct buf *out)
{
    size_t mark = buf_len(out);

    out->overflowed = false;
    put_header(b, out);
    put_words(b, out);
    put_status(b, out);
    put_original(b, out);
    put_delimiter(b, "--", out);
    if (!out->overflowed)
        return true;
    buf_truncate(out, mark);
    return false;
}
