#include "mail/bounce.h"

#include "common/text.h"
#include "mail/body.h"
#include "mail/prose.h"
#include "mail/trace.h"
#include "mail/xtext.h"

enum {
    MESSAGE_ID_MAX = 250,  /* bytes of the original's, that References may repeat */
    SUBJECT_MAX = 200,     /* bytes of the original's that are shown */
    HOST_MAX = 240,        /* bytes shown; "\xNN" for each still fits a line */
    DOING_MAX = 80,        /* bytes shown */
    BOUNDARY_MAX = 48,     /* bytes */
    TEXTS_MAX = 128 << 10, /* bytes of what servers said, of all recipients */
    /* Bytes of a notice, so that the smallest segment of a spool takes it whatever recipients it
     * has: behind the first no more are described for people, behind the next the status of one
     * says the least that RFC 3464 wants, and behind the last not even what was asked for. */
    WORDS_END = 96 << 10,
    DETAILS_END = 256 << 10,
    ORIGINALS_END = 448 << 10,
};

/* clang-format off */
static const struct {
    const char *name, *subject, *first, *last;
} actions[BOUNCE_ACTIONS] = {
    [BOUNCE_FAILED] = {
        "failed", "Your message could not be delivered",
        "A message that you sent could not be delivered:\r\n\r\n",
        "No further attempts will be made for the addresses above. Other\r\n"
        "recipients of the message are not affected.\r\n" },
    [BOUNCE_DELAYED] = {
        "delayed", "Your message is delayed",
        "A message that you sent has not reached everybody yet:\r\n\r\n",
        "You need not send the message again. This server keeps trying, and\r\n"
        "tells you should it give up.\r\n" },
    [BOUNCE_DELIVERED] = {
        "delivered", "Your message has arrived",
        "You asked to be told: a message that you sent is in its mailbox.\r\n\r\n",
        "" },
    [BOUNCE_RELAYED] = {
        "relayed", "Your message was passed on",
        "You asked to be told: a message that you sent was passed on to a server\r\n"
        "that does not report its delivery:\r\n\r\n",
        "No news is good news from now on: should that server fail, it tells you.\r\n" },
    [BOUNCE_EXPANDED] = {
        "expanded", "Your message goes to several recipients",
        "You asked to be told: a message that you sent is for an address that\r\n"
        "stands for several recipients:\r\n\r\n",
        "It is being delivered to all of them, which is not reported one by one.\r\n" },
};
/* clang-format on */

const char *bounce_action_name(enum bounce_action a)
{
    return actions[a].name;
}

/* A notice that is being written. */
struct writer {
    const struct bounce *b;
    struct prose p;
    struct view boundary;
    bool whole;   /* the original comes back as a whole */
    size_t began; /* in the room */
};

static bool is_within(const struct writer *w, size_t end)
{
    return buf_len(w->p.out) - w->began < end;
}

static void put_date(const struct prose *p, uint64_t wall_ms)
{
    if (!p->out->overflowed && !trace_date(wall_ms, p->out))
        p->out->overflowed = true;
}

static void put_delimiter(const struct writer *w, const char *end)
{
    prose_text(&w->p, "\r\n--");
    prose_put(&w->p, w->boundary);
    prose_text(&w->p, end);
    prose_text(&w->p, "\r\n");
}

/* ---- the header ---- */

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

static void put_references(const struct writer *w)
{
    struct view id;

    if (!header_find(w->b->header, VIEW("Message-ID"), &id) || !message_id_valid(id))
        return;
    prose_text(&w->p, "References: ");
    prose_put(&w->p, id);
    prose_text(&w->p, "\r\n");
}

/* Some part may have octets above 127. */
static bool is_high(const struct writer *w)
{
    return w->p.utf8 || (w->whole && !text_is_ascii(w->b->content));
}

static void put_header(const struct writer *w)
{
    const struct bounce *b = w->b;
    const struct prose *p = &w->p;

    prose_text(p, "Date: ");
    put_date(p, b->now_ms);
    prose_text(p, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@");
    prose_put(p, b->hostname);
    prose_text(p, ">\r\nTo: <");
    prose_foreign(p, b->envelope->sender);
    prose_text(p, ">\r\nSubject: ");
    prose_text(p, actions[b->action].subject);
    prose_printf(p, "\r\nMessage-ID: <%llx.%llx@", (unsigned long long)b->now_ms,
                 (unsigned long long)b->unique);
    prose_put(p, b->hostname);
    prose_text(p, ">\r\n");
    put_references(w);
    prose_text(p, "Auto-Submitted: auto-replied\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                  "\tboundary=\"");
    prose_put(p, w->boundary);
    prose_text(p, "\"\r\n");
    if (is_high(w))
        prose_text(p, "Content-Transfer-Encoding: 8bit\r\n");
}

/* ---- for people ---- */

static void put_about(const struct writer *w)
{
    char room[SUBJECT_MAX + 16];
    struct buf words = BUF_ON_ARRAY(room);
    const struct prose *p = &w->p;
    struct view subject;

    prose_text(p, "This is the mail server ");
    prose_put(p, w->b->hostname);
    prose_text(p, ".\r\n\r\n");
    prose_text(p, actions[w->b->action].first);
    if (header_find(w->b->header, VIEW("Subject"), &subject)) {
        buf_printf(&words, "Subject: %.*s", VIEW_ARG(view_sub(subject, 0, SUBJECT_MAX)));
        prose_wrapped(p, "    ", buf_view(&words));
    }
    prose_text(p, "    Received here: ");
    put_date(p, w->b->envelope->arrival_ms);
    prose_text(p, "\r\n\r\n");
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
    { 4, 4, "No server of the domain can be found: please check it for a typing error." },
    { 4, 6, "The message would come back for ever: the domain's administrator has to mend that." },
    { 6, 7, "That server takes only addresses in ASCII: please use such ones, if there are." },
    { 7, 30, "You asked for TLS all the way (REQUIRETLS): without that it can be sent." },
    { 7, 0, "The server refuses such mail: its administrator can tell why." },
};

static bool answered(const struct outcome *o)
{
    return o->code > 0 && o->host.len > 0;
}

static const char *hint_for(const struct writer *w, const struct bounce_rcpt *r)
{
    struct enhanced e = r->outcome->enhanced;

    if (w->b->action != BOUNCE_FAILED)
        return NULL;
    if (r->expired)
        return "Please send it again later, or reach the person another way.";
    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        if (hints[i].subject == e.subject && (hints[i].detail == 0 || hints[i].detail == e.detail))
            return hints[i].text;
    }
    return answered(r->outcome) ? "If these words do not help, that server's administrator can "
                                  "tell more."
                                : NULL;
}

/* Within the lengths that bounce_room reckons with. Of very many recipients each gets less, so that
 * the spool takes the notice whatever the servers said. */
static struct outcome clip(const struct bounce *b, const struct outcome *o)
{
    struct outcome c = *o;

    c.text = view_sub(c.text, 0, MIN((size_t)OUTCOME_TEXT_MAX, TEXTS_MAX / b->rcpt_count));
    c.host = view_sub(c.host, 0, HOST_MAX);
    c.doing = view_sub(c.doing, 0, DOING_MAX);
    return c;
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
static void put_reason(const struct prose *p, const struct outcome *o)
{
    char room[OUTCOME_TEXT_MAX + HOST_MAX + DOING_MAX + 64];
    struct buf words = BUF_ON_ARRAY(room);

    if (!answered(o)) {
        outcome_print(o, &words);
        prose_wrapped(p, "    ", buf_view(&words));
        return;
    }
    buf_put(&words, o->host);
    if (o->doing.len > 0)
        buf_printf(&words, " answered while %.*s:", VIEW_ARG(o->doing));
    else
        buf_put(&words, VIEW(" answered:"));
    prose_wrapped(p, "    ", buf_view(&words));
    buf_clear(&words);
    print_answer(o, &words);
    prose_wrapped(p, "        ", buf_view(&words));
}

static void put_rcpt(const struct writer *w, const struct bounce_rcpt *r)
{
    const char *hint = hint_for(w, r);
    struct outcome o = clip(w->b, r->outcome);
    const struct prose *p = &w->p;

    prose_text(p, "<");
    prose_foreign(p, r->address);
    prose_text(p, ">\r\n");
    put_reason(p, &o);
    if (r->expired)
        prose_text(p, "    All attempts until now failed, and the time for it is over.\r\n");
    if (hint != NULL)
        prose_wrapped(p, "    ", view_of(hint));
    if (w->b->action == BOUNCE_DELAYED && r->expires_ms > 0) {
        prose_text(p, "    Further attempts will be made until ");
        put_date(p, r->expires_ms);
        prose_text(p, "\r\n");
    }
    prose_text(p, "\r\n");
}

static void put_words(const struct writer *w)
{
    const struct prose *p = &w->p;
    size_t i;

    put_delimiter(w, "");
    prose_text(p, p->utf8 ? "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Transfer-Encoding: 8bit\r\n\r\n"
                          : "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    put_about(w);
    for (i = 0; i < w->b->rcpt_count && is_within(w, WORDS_END); i++)
        put_rcpt(w, &w->b->rcpts[i]);
    if (i < w->b->rcpt_count)
        prose_printf(p, "and %zu others, who are listed below.\r\n\r\n", w->b->rcpt_count - i);
    prose_text(p, actions[w->b->action].last);
    if (w->b->unread)
        prose_text(p, "The message itself was not checked for damage here, or is damaged: so\r\n"
                      "nothing of it is repeated.\r\n");
    prose_text(p, "The administrator of this server finds the message by its number,\r\n");
    prose_put(p, w->b->message_id);
    prose_text(p, ".\r\n");
}

/* ---- for programs ---- */

/* "mx1.example.org" of "mx1.example.org[192.0.2.1]:25", or the address if there is no name */
static struct view remote_name(struct view host)
{
    size_t bracket = view_find(host, '[');

    return bracket > 0 ? view_sub(host, 0, bracket) : host;
}

/* RFC 3464, 2.3.6 */
static void put_diagnostic(const struct prose *p, const struct outcome *o)
{
    char room[OUTCOME_TEXT_MAX + 64];
    struct buf words = BUF_ON_ARRAY(room);

    if (answered(o))
        print_answer(o, &words);
    else
        buf_put(&words, o->text);
    prose_text(p, answered(o) ? "Diagnostic-Code: smtp;\r\n" : "Diagnostic-Code: x-tern;\r\n");
    prose_wrapped(p, "\t", buf_view(&words));
}

/* As it is, or in the ASCII form of RFC 6533, 3. */
static void put_utf8_address(const struct prose *p, struct view address)
{
    if (p->utf8 || p->out->overflowed || !utf8_valid(address))
        prose_foreign(p, address);
    else if (!xtext_encode_unicode(address, p->out))
        p->out->overflowed = true;
}

static void put_final(const struct prose *p, struct view address)
{
    bool ascii = text_is_ascii(address);

    prose_text(p, ascii ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ");
    if (ascii)
        prose_foreign(p, address);
    else
        put_utf8_address(p, address);
    prose_text(p, "\r\n");
}

/* With the decoded address (RFC 3461, 6.3). */
static void put_original_rcpt(const struct prose *p, struct view original)
{
    struct view address = original;
    struct view type = view_take_until(&address, ';');

    if (original.len == 0)
        return;
    prose_text(p, "Original-Recipient: ");
    prose_foreign(p, type);
    prose_text(p, "; ");
    if (view_equal_nocase(type, VIEW("utf-8")))
        put_utf8_address(p, address);
    else
        prose_foreign(p, address);
    prose_text(p, "\r\n");
}

static void put_rcpt_status(const struct writer *w, const struct bounce_rcpt *r)
{
    struct outcome o = clip(w->b, r->outcome);
    const struct prose *p = &w->p;

    prose_text(p, "\r\n");
    if (is_within(w, ORIGINALS_END))
        put_original_rcpt(p, r->original);
    put_final(p, r->address);
    prose_printf(p, "Action: %s\r\nStatus: ", actions[w->b->action].name);
    enhanced_print(o.enhanced, p->out);
    prose_text(p, "\r\n");
    if (!is_within(w, DETAILS_END))
        return;
    if (o.host.len > 0) {
        prose_text(p, o.host.ptr[0] == '/' ? "Remote-MTA: x-unix; " : "Remote-MTA: dns; ");
        prose_foreign(p, remote_name(o.host));
        prose_text(p, "\r\n");
    }
    if (o.text.len > 0)
        put_diagnostic(p, &o);
    if (r->attempted_ms > 0) {
        prose_text(p, "Last-Attempt-Date: ");
        put_date(p, r->attempted_ms);
        prose_text(p, "\r\n");
    }
    if (w->b->action == BOUNCE_DELAYED && r->expires_ms > 0) {
        prose_text(p, "Will-Retry-Until: ");
        put_date(p, r->expires_ms);
        prose_text(p, "\r\n");
    }
}

static void put_status(const struct writer *w)
{
    const struct prose *p = &w->p;
    struct view envelope_id = w->b->envelope->envelope_id;

    put_delimiter(w, "");
    prose_text(p, p->utf8 ? "Content-Type: message/global-delivery-status\r\n"
                            "Content-Transfer-Encoding: 8bit\r\n\r\n"
                          : "Content-Type: message/delivery-status\r\n\r\n");
    if (envelope_id.len > 0) {
        prose_text(p, "Original-Envelope-Id: ");
        prose_foreign(p, envelope_id);
        prose_text(p, "\r\n");
    }
    prose_text(p, "Reporting-MTA: dns; ");
    prose_put(p, w->b->hostname);
    prose_text(p, "\r\nX-Tern-Message: ");
    prose_put(p, w->b->message_id);
    prose_text(p, "\r\nArrival-Date: ");
    put_date(p, w->b->envelope->arrival_ms);
    prose_text(p, "\r\n");
    for (size_t i = 0; i < w->b->rcpt_count; i++)
        put_rcpt_status(w, &w->b->rcpts[i]);
}

/* ---- the original ---- */

/* Whole lines of the header, up to the limit. */
static struct view cut_header(struct view header)
{
    if (header.len <= BOUNCE_HEADER_MAX)
        return header;
    header.len = BOUNCE_HEADER_MAX;
    header.len = view_find_last(header, '\n');
    return view_sub(header, 0, header.len == BOUNCE_HEADER_MAX ? header.len : header.len + 1);
}

static bool wants_whole(const struct writer *w)
{
    const struct bounce *b = w->b;

    return b->action == BOUNCE_FAILED && b->envelope->returns == RETURN_FULL &&
           !b->envelope->require_tls && /* RFC 8689, 5: a report may go in plain text */
           b->content.len > 0 && b->content.len <= BOUNCE_CONTENT_MAX &&
           prose_is_plain(b->content, w->boundary, true);
}

/* A message in a message cannot be encoded (RFC 2046, 5.2.1). */
static void put_whole(const struct writer *w)
{
    prose_text(&w->p,
               w->p.utf8 ? "Content-Type: message/global\r\n" : "Content-Type: message/rfc822\r\n");
    if (is_high(w))
        prose_text(&w->p, "Content-Transfer-Encoding: 8bit\r\n");
    prose_text(&w->p, "\r\n");
    prose_put(&w->p, w->b->content);
}

static void put_its_header(const struct writer *w)
{
    struct view header = cut_header(w->b->header);
    bool utf8 = w->p.utf8 && utf8_valid(header);

    prose_text(&w->p, utf8 ? "Content-Type: message/global-headers\r\n"
                           : "Content-Type: text/rfc822-headers\r\n");
    if (prose_is_plain(header, w->boundary, utf8)) {
        prose_text(&w->p, utf8 ? "Content-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n");
        prose_put(&w->p, header);
    } else {
        prose_text(&w->p, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        prose_quoted(&w->p, header);
    }
}

static void put_original(const struct writer *w)
{
    if (w->b->unread)
        return;
    put_delimiter(w, "");
    if (w->whole)
        put_whole(w);
    else
        put_its_header(w);
}

enum {
    ROOM_FIXED = 6144,  /* bytes: our own words, once, and the subject */
    ROOM_RCPT = 1024,   /* bytes: our own words, for a recipient */
    ROOM_HOSTNAMES = 5, /* times it is written */
    ROOM_ADDRESS = 12,  /* bytes for one: "\xNN" or "\x{7F}", in both parts */
    ROOM_TEXT = 16,     /* bytes for one: "\xNN" or a line of its own, in both parts */
    ROOM_HEADER = 4,    /* bytes for one: "=XX" and soft breaks */
};

size_t bounce_room(const struct bounce *b)
{
    size_t room = ROOM_FIXED + ROOM_HOSTNAMES * b->hostname.len + 2 * b->message_id.len +
                  ROOM_ADDRESS * (b->envelope->sender.len + b->envelope->envelope_id.len) +
                  ROOM_HEADER * MIN(b->header.len, (size_t)BOUNCE_HEADER_MAX) +
                  MIN(b->content.len, (size_t)BOUNCE_CONTENT_MAX);

    for (size_t i = 0; i < b->rcpt_count; i++) {
        struct outcome o = clip(b, b->rcpts[i].outcome);

        room += ROOM_RCPT + ROOM_ADDRESS * (b->rcpts[i].address.len + b->rcpts[i].original.len) +
                ROOM_TEXT * (o.text.len + o.host.len + o.doing.len);
    }
    return room;
}

bool bounce_write(const struct bounce *b, struct buf *out)
{
    char room[BOUNDARY_MAX];
    struct buf boundary = BUF_ON_ARRAY(room);
    size_t mark = buf_len(out);
    struct writer w = { .b = b, .p = { .out = out, .utf8 = b->envelope->utf8 }, .began = mark };

    /* "=_" cannot stand in quoted-printable, and no other line begins with foreign bytes. */
    buf_printf(&boundary, "=_tern_%016llx%016llx", (unsigned long long)b->now_ms,
               (unsigned long long)b->unique);
    w.boundary = buf_view(&boundary);
    w.whole = wants_whole(&w);
    out->overflowed = false;
    put_header(&w);
    put_words(&w);
    put_status(&w);
    put_original(&w);
    put_delimiter(&w, "--");
    if (!out->overflowed)
        return true;
    buf_truncate(out, mark);
    return false;
}
