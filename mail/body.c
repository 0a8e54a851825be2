#include "mail/body.h"

#include <string.h>

/* Receiving, after the last byte that was used:
 *
 *   LINE_START --"."--> DOT --CR--> DOT_CR --LF--> done
 *       ^                 \             \
 *       |                  any other     any other: the CR was bare and is content
 *       LF                   \             \
 *       |                     v             v
 *      CR <------CR------- MIDDLE <---------'
 *
 * Content goes out as soon as it is seen, a CR too; only the CR of DOT_CR has to wait. */
enum receiver_state { LINE_START, MIDDLE, CR, DOT, DOT_CR };

/* Bytes that are looked at together, and how many such blocks before the next decision. */
typedef unsigned char block __attribute__((vector_size(16)));
enum { BLOCK = sizeof(block), STRIDE = 4 * BLOCK };

static block splat(unsigned char c)
{
    return (block){ c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c };
}

static bool any(block b)
{
    uint64_t halves[2];

    memcpy(halves, &b, sizeof(b));
    return (halves[0] | halves[1]) != 0;
}

/* What a stride holds: all bits of a byte where the answer is yes. */
struct survey {
    block odd;  /* CR without LF, LF without CR, or a dot behind LF */
    block high; /* bit 7 only */
    block zero;
};

/* Reads one byte more than the stride: each byte is judged together with the next. */
static struct survey survey_stride(const char *at)
{
    struct survey s = { .odd = splat(0) };

    for (size_t i = 0; i < STRIDE; i += BLOCK) {
        block here, next;

        memcpy(&here, at + i, BLOCK);
        memcpy(&next, at + i + 1, BLOCK);
        s.odd |= (block)((here == splat('\r')) ^ (next == splat('\n')));
        s.odd |= (block)((here == splat('\n')) & (next == splat('.')));
        s.high |= here & splat(0x80);
        s.zero |= (block)(here == splat(0));
    }
    return s;
}

/* How much of `v` can be passed over in whole strides, as lines with nothing to decide. */
static size_t skip_plain(struct body_receiver *r, struct view v)
{
    size_t used = 0;

    while (used + STRIDE < v.len) {
        struct survey s = survey_stride(v.ptr + used);

        if (any(s.odd))
            break;
        r->eight_bit = r->eight_bit || any(s.high);
        r->nul = r->nul || any(s.zero);
        used += STRIDE;
    }
    return used;
}

static enum receiver_state state_after(char c)
{
    return c == '\r' ? CR : c == '\n' ? LINE_START : MIDDLE;
}

/* One byte of content. A bare LF begins no line: what follows it cannot end the message. */
static void step(struct body_receiver *r, char c)
{
    bool bare = c == '\n' && r->state != CR;

    r->bare_cr = r->bare_cr || (r->state == CR && c != '\n');
    r->bare_lf = r->bare_lf || bare;
    r->eight_bit = r->eight_bit || ((unsigned char)c & 0x80) != 0;
    r->nul = r->nul || c == '\0';
    r->state = bare ? MIDDLE : state_after(c);
}

/* The length of the content up to a dot that begins a line, or to the end of `v`. */
static size_t run(struct body_receiver *r, struct view v)
{
    size_t i = 0;

    while (i < v.len) {
        size_t near = MIN(v.len, i + BLOCK), skipped;

        for (; i < near; i++) {
            if (r->state == LINE_START && v.ptr[i] == '.')
                return i;
            step(r, v.ptr[i]);
        }
        /* The last byte again: it has to agree with the first of the stride. */
        skipped = skip_plain(r, view_from(v, i - 1));
        if (skipped > 0) {
            i += skipped - 1;
            r->state = state_after(v.ptr[i - 1]);
        }
    }
    return i;
}

static struct view take_front(struct view *v, size_t len)
{
    struct view front = view_sub(*v, 0, len);

    *v = view_from(*v, len);
    return front;
}

/* Decides what a dot at the start of a line means. True when a piece came out of it. */
static bool receive_dot(struct body_receiver *r, struct view *input, struct view *piece)
{
    char c = input->ptr[0];

    if (r->state == LINE_START && c == '.') {
        r->state = DOT;
        *input = view_from(*input, 1);
    } else if (r->state == DOT && c == '\r') {
        r->state = DOT_CR;
        *input = view_from(*input, 1);
    } else if (r->state == DOT_CR && c == '\n') {
        r->done = true;
        *input = view_from(*input, 1);
    } else if (r->state == DOT_CR) {
        r->state = MIDDLE;
        r->bare_cr = true;
        *piece = VIEW("\r");
        return true;
    } else {
        if (r->state == DOT)
            r->state = MIDDLE;
        *piece = take_front(input, run(r, *input));
        return true;
    }
    return false;
}

bool body_receive(struct body_receiver *r, struct view *input, struct view *piece)
{
    while (!r->done && input->len > 0) {
        if (receive_dot(r, input, piece)) {
            r->bytes += piece->len;
            return true;
        }
    }
    return false;
}

void body_count(struct body_receiver *r, struct view bytes)
{
    r->bytes += bytes.len;
    while (bytes.len > 0) {
        if (r->state == LINE_START && bytes.ptr[0] == '.') {
            r->state = MIDDLE;
            bytes = view_from(bytes, 1);
        } else {
            bytes = view_from(bytes, run(r, bytes));
        }
    }
}

bool body_is_whole(const struct body_receiver *r)
{
    return r->state == LINE_START;
}

/* A dot behind a bare LF is stuffed as well: such content is never accepted, and if it were, it
 * must not end the message at a careless receiver. */
static size_t length_to_dot(struct view v)
{
    size_t at = 0;

    for (;;) {
        at += view_find(view_from(v, at), '\n');
        if (at + 1 >= v.len)
            return v.len;
        at++;
        if (v.ptr[at] == '.')
            return at;
    }
}

bool body_send(struct body_sender *s, struct view *input, struct view *piece)
{
    if (input->len == 0)
        return false;
    if (!s->middle && input->ptr[0] == '.') {
        s->middle = true;
        *piece = VIEW(".");
        return true;
    }
    *piece = take_front(input, length_to_dot(*input));
    s->middle = piece->ptr[piece->len - 1] != '\n';
    return true;
}

/* Where the scan of a header is in its line. */
enum scan_state { SCAN_START, SCAN_NAME, SCAN_REST, SCAN_START_CR, SCAN_ID };

static const struct view scanned_names[] = { VIEW_INIT("received"), VIEW_INIT("message-id") };
enum { NAME_RECEIVED, NAME_MESSAGE_ID };

static void begin_value(struct header_scan *h)
{
    h->state = SCAN_REST;
    if (h->name == NAME_RECEIVED)
        h->received++;
    else if (!h->id_seen)
        h->state = SCAN_ID;
    if (h->state != SCAN_ID)
        h->matched = 0; /* what continues this line is not looked at */
    h->id_seen = h->id_seen || h->name == NAME_MESSAGE_ID;
}

/* Compares a field name as it goes by. Any blank before the colon is old syntax (RFC 5322, 4.5);
 * one at the start of the line continues the field above. */
static void scan_name(struct header_scan *h, char c)
{
    struct view name;

    if (h->matched == 0)
        h->name = byte_lower(c) == 'm' ? NAME_MESSAGE_ID : NAME_RECEIVED;
    name = scanned_names[h->name];
    if (c == '\n')
        h->state = SCAN_START;
    else if (h->matched < name.len && byte_lower(c) == name.ptr[h->matched])
        h->matched++;
    else if (h->matched == name.len && c == ':')
        begin_value(h);
    else if (h->matched < name.len || (c != ' ' && c != '\t'))
        h->state = SCAN_REST;
}

/* The value of a Message-ID. When its line is over, the next one tells whether it goes on. */
static void scan_id(struct header_scan *h, char c)
{
    bool blank = c == ' ' || c == '\t' || c == '\r';

    if (c == '\n')
        h->state = SCAN_START;
    else if (!blank && h->id_len <= HEADER_ID_MAX) {
        if (h->id_len < HEADER_ID_MAX)
            h->id[h->id_len] = c;
        h->id_len++; /* one too many: it is too long */
    }
}

static bool continues_id(const struct header_scan *h, char c)
{
    return h->state == SCAN_START && (c == ' ' || c == '\t') && h->id_seen &&
           h->name == NAME_MESSAGE_ID && h->matched == scanned_names[h->name].len;
}

static void scan_byte(struct header_scan *h, char c)
{
    if (h->state == SCAN_ID || continues_id(h, c)) {
        h->state = SCAN_ID;
        scan_id(h, c);
        return;
    }
    if (h->state == SCAN_START_CR) {
        h->ended = c == '\n';
        h->state = SCAN_REST;
        return;
    }
    if (h->state == SCAN_START && c == '\r') {
        h->state = SCAN_START_CR;
        return;
    }
    if (h->state == SCAN_START)
        h->matched = 0;
    h->state = SCAN_NAME;
    scan_name(h, c);
}

void header_scan_feed(struct header_scan *h, struct view piece)
{
    while (piece.len > 0 && !h->ended) {
        if (h->state == SCAN_REST) {
            size_t lf = view_find(piece, '\n');

            if (lf < piece.len)
                h->state = SCAN_START;
            piece = view_from(piece, lf + 1);
        } else {
            scan_byte(h, piece.ptr[0]);
            piece = view_from(piece, 1);
        }
    }
}

struct view header_scan_message_id(const struct header_scan *h)
{
    if (h->id_len > HEADER_ID_MAX)
        return VIEW_EMPTY;
    for (size_t i = 0; i < h->id_len; i++) {
        if (h->id[i] <= ' ' || h->id[i] > '~')
            return VIEW_EMPTY;
    }
    return view_make(h->id, h->id_len);
}

struct view body_header(struct view message)
{
    size_t end;

    if (view_starts(message, VIEW("\r\n")))
        return view_sub(message, 0, 0);
    end = view_find_view(message, VIEW("\r\n\r\n"));
    return view_sub(message, 0, end + 2);
}

/* The front of `*header` up to the first line that is not a continuation. */
static struct view take_field(struct view *header)
{
    size_t end = 0;

    do {
        end += view_find(view_from(*header, end), '\n') + 1;
    } while (end < header->len && (header->ptr[end] == ' ' || header->ptr[end] == '\t'));
    return take_front(header, MIN(end, header->len));
}

/* A name is printable ASCII without a colon, perhaps with blanks before it (RFC 5322, 4.5). */
static bool is_name(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
            return false;
    }
    return name.len > 0;
}

bool header_next(struct view *header, struct header_field *field)
{
    struct view value;
    size_t blanks;

    if (header->len == 0)
        return false;
    *field = (struct header_field){ .whole = take_field(header) };
    value = field->whole;
    while (value.len > 0 && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
        value.len--;
    field->name = view_sub(value, 0, view_find(value, ':'));
    if (field->name.len == value.len) {
        field->name = VIEW_EMPTY;
        return true;
    }
    field->value = view_from(value, field->name.len + 1);
    blanks = field->name.len;
    while (blanks > 0 &&
           (field->name.ptr[blanks - 1] == ' ' || field->name.ptr[blanks - 1] == '\t'))
        blanks--;
    field->name.len = blanks;
    if (!is_name(field->name))
        field->name = field->value = VIEW_EMPTY;
    return true;
}

bool header_find(struct view header, struct view name, struct view *value)
{
    struct header_field field;

    while (header_next(&header, &field)) {
        if (!view_equal_nocase(field.name, name))
            continue;
        *value = view_trim(field.value);
        return true;
    }
    return false;
}
