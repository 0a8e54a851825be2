#include "queue/record.h"

#include "common/crc32c.h"
#include "mail/envelope.h"

#include <assert.h>
#include <string.h>

/* "TERN1 M 00000001a200f3c0 0012a 0000f00 0000000a3f 0000 9d1e0b77\n"; lengths in hexadecimal
 * digits. */
enum {
    MAGIC_LEN = 6,
    TYPE_AT = 6,
    ID_AT = 8,
    ID_LEN = 16,
    META_AT = 25,
    META_LEN = 5,
    BODY_AT = 31,
    BODY_LEN = 7,
    BATCH_AT = 39,
    BATCH_LEN = 10,
    BACK_AT = 50,
    BACK_LEN = 4,
    CRC_AT = 55,
    CRC_LEN = 8,
};

static const char magic[] = "TERN1 ";

uint64_t record_place(uint64_t segment, uint64_t offset)
{
    return segment << RECORD_OFFSET_BITS | offset / RECORD_UNIT;
}

uint64_t record_segment(uint64_t place)
{
    return place >> RECORD_OFFSET_BITS;
}

uint64_t record_offset(uint64_t place)
{
    return (place & ((1u << RECORD_OFFSET_BITS) - 1)) * RECORD_UNIT;
}

uint32_t record_seed(uint64_t nonce)
{
    char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(uint8_t)(nonce >> (8 * i));
    return crc32c(0, view_make(bytes, sizeof(bytes)));
}

size_t record_span(size_t meta_bytes, size_t body_bytes)
{
    size_t bytes = RECORD_HEADER + meta_bytes + body_bytes;

    return (bytes + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

static void put_hex(char *at, size_t digits, uint64_t number)
{
    static const char hex[] = "0123456789abcdef";

    while (digits > 0) {
        at[--digits] = hex[number & 15];
        number >>= 4;
    }
    assert(number == 0);
}

/* Millions of times at a start. */
static bool get_hex(const char *at, size_t digits, uint64_t *number)
{
    uint64_t n = 0;

    for (size_t i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)at[i];

        if (digit - '0' <= 9)
            digit -= '0';
        else if (digit - 'a' <= 5)
            digit -= 'a' - 10;
        else
            return false;
        n = n << 4 | digit;
    }
    *number = n;
    return true;
}

static uint32_t crc_of(const char *header, struct view meta, uint32_t seed)
{
    return crc32c(crc32c(seed, view_make(header, CRC_AT)), meta);
}

void record_seal(char *at, const struct record *r, uint32_t seed)
{
    memset(at, ' ', RECORD_HEADER);
    memcpy(at, magic, MAGIC_LEN);
    at[TYPE_AT] = r->type;
    put_hex(at + ID_AT, ID_LEN, r->id);
    put_hex(at + META_AT, META_LEN, r->meta.len);
    put_hex(at + BODY_AT, BODY_LEN, r->body.len);
    put_hex(at + BATCH_AT, BATCH_LEN, r->batch);
    put_hex(at + BACK_AT, BACK_LEN, r->back);
    put_hex(at + CRC_AT, CRC_LEN, crc_of(at, view_make(at + RECORD_HEADER, r->meta.len), seed));
    at[RECORD_HEADER - 1] = '\n';
}

bool record_is_likely(struct view bytes)
{
    return bytes.len >= RECORD_HEADER && memcmp(bytes.ptr, magic, MAGIC_LEN) == 0 &&
           bytes.ptr[RECORD_HEADER - 1] == '\n';
}

bool record_claims_batch(struct view bytes, uint64_t *batch)
{
    return record_is_likely(bytes) && get_hex(bytes.ptr + BATCH_AT, BATCH_LEN, batch);
}

bool record_read_front(struct view bytes, uint32_t seed, struct record *r)
{
    const char *at = bytes.ptr;
    uint64_t meta, body, back, crc;

    if (!record_is_likely(bytes))
        return false;
    if (!get_hex(at + ID_AT, ID_LEN, &r->id) || !get_hex(at + META_AT, META_LEN, &meta) ||
        !get_hex(at + BODY_AT, BODY_LEN, &body) || !get_hex(at + BATCH_AT, BATCH_LEN, &r->batch) ||
        !get_hex(at + BACK_AT, BACK_LEN, &back) || !get_hex(at + CRC_AT, CRC_LEN, &crc))
        return false;
    if (meta > bytes.len - RECORD_HEADER)
        return false;
    r->type = at[TYPE_AT];
    r->back = (uint32_t)back;
    r->meta = view_sub(bytes, RECORD_HEADER, meta);
    r->body = view_make(at + RECORD_HEADER + meta, body);
    return crc_of(at, r->meta, seed) == crc;
}

bool record_read(struct view bytes, uint32_t seed, struct record *r)
{
    return record_read_front(bytes, seed, r) &&
           r->body.len <= bytes.len - RECORD_HEADER - r->meta.len;
}

/* ---- words of the first line: "name=value", separated by one blank ---- */

static bool put_hex_word(struct buf *out, const char *name, uint64_t number, size_t digits)
{
    char hex[16];

    put_hex(hex, digits, number);
    return buf_put(out, view_of(name)) && buf_put(out, view_make(hex, digits));
}

static bool put_number(struct buf *out, const char *name, uint64_t number)
{
    return buf_put(out, view_of(name)) && buf_put_u64(out, number);
}

/* "0-3,7": ranges of the indexes in the order given. */
static bool put_rcpts(struct buf *out, const char *name, const uint32_t *rcpts, size_t count)
{
    size_t last;

    if (!buf_put(out, view_of(name)))
        return false;
    for (size_t i = 0; i < count; i = last + 1) {
        for (last = i; last + 1 < count && rcpts[last + 1] == rcpts[last] + 1;)
            last++;
        if ((i > 0 && !buf_put_byte(out, ',')) || !buf_put_u64(out, rcpts[i]))
            return false;
        if (last > i && (!buf_put_byte(out, '-') || !buf_put_u64(out, rcpts[last])))
            return false;
    }
    return true;
}

/* The value of the word that begins with `name`; words that we do not know are passed over. */
static bool find(struct view line, const char *name, struct view *value)
{
    const char *at = line.ptr, *end = line.ptr + line.len;
    size_t len = strlen(name);

    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        size_t word = (size_t)((blank != NULL ? blank : end) - at);

        if (word >= len && memcmp(at, name, len) == 0) {
            *value = view_make(at + len, word - len);
            return true;
        }
        at += word + 1;
    }
    return false;
}

static bool find_number(struct view line, const char *name, uint64_t most, uint64_t *number)
{
    struct view value;

    return find(line, name, &value) && view_to_u64(value, most, number);
}

static bool find_hex(struct view line, const char *name, uint64_t *number)
{
    struct view value;

    return find(line, name, &value) && view_hex_to_u64(value, number);
}

/* One beyond the last recipient that a message may have stands for its expansion. */
static bool take_range(struct view *ranges, uint64_t *first, uint64_t *last)
{
    struct view range = view_take_until(ranges, ',');
    struct view front = view_take_until(&range, '-');

    if (!view_to_u64(front, ENVELOPE_RCPTS_MAX, first))
        return false;
    *last = *first;
    return range.len == 0 || view_to_u64(range, ENVELOPE_RCPTS_MAX, last);
}

static bool get_rcpts(struct view ranges, uint32_t *rcpts, size_t *count)
{
    uint64_t first, last;

    *count = 0;
    while (ranges.len > 0) {
        if (!take_range(&ranges, &first, &last))
            return false;
        if (last < first || last - first >= ENVELOPE_RCPTS_MAX - *count)
            return false;
        for (; first <= last; first++)
            rcpts[(*count)++] = (uint32_t)first;
    }
    return true;
}

/* ---- M: "body=3840 crc=9d1e0b77 file=... about=... settles=0-3,7" and the envelope; C: the same
 * with "was=..." ---- */

bool record_put_message(struct buf *out, const struct record_message *m)
{
    if (!put_number(out, "body=", m->body_bytes) || !put_hex_word(out, " crc=", m->body_crc, 8))
        return false;
    if (m->big && !put_hex_word(out, " file=", m->file, 16))
        return false;
    if (m->was != 0 && !put_hex_word(out, " was=", m->was, 16))
        return false;
    if (m->about != 0 && !put_hex_word(out, " about=", m->about, 16))
        return false;
    if (m->settle_count > 0 && !put_rcpts(out, " settles=", m->settles, m->settle_count))
        return false;
    return buf_put_byte(out, '\n');
}

bool record_get_message(struct view meta, uint32_t *rcpts, struct record_message *m)
{
    struct view line = view_take_until(&meta, '\n');
    struct view ranges;
    uint64_t crc;

    *m = (struct record_message){ .settles = rcpts, .envelope = meta };
    if (!find_number(line, "body=", UINT64_MAX, &m->body_bytes) || !find_hex(line, "crc=", &crc))
        return false;
    m->body_crc = (uint32_t)crc;
    m->big = find_hex(line, "file=", &m->file);
    if (!find_hex(line, "was=", &m->was))
        m->was = 0;
    if (!find_hex(line, "about=", &m->about))
        return true;
    return !find(line, "settles=", &ranges) || get_rcpts(ranges, rcpts, &m->settle_count);
}

bool record_body_whole(const struct record *r)
{
    struct view meta = r->meta;
    struct view line = view_take_until(&meta, '\n');
    uint64_t number;

    if (find_hex(line, "file=", &number))
        return r->body.len == 0;
    if (!find_number(line, "body=", RECORD_BODY_MAX, &number) || number != r->body.len)
        return false;
    return find_hex(line, "crc=", &number) && crc32c(0, r->body) == number;
}

/* ---- D: "deferred rcpts=0-3,7 attempts=2 next=1735689600000 at=1735689300000" and the text ----
 */

static const char *const state_names[STORE_STATES] = {
    [STORE_DEFERRED] = "deferred",
    [STORE_DELIVERED] = "delivered",
    [STORE_FAILED] = "failed",
};

static bool name_index(const char *const *names, size_t count, struct view name, size_t *index)
{
    for (*index = 0; *index < count; ++*index) {
        if (view_equal(view_of(names[*index]), name))
            return true;
    }
    return false;
}

bool record_put_outcome(struct buf *out, const struct store_outcome *o)
{
    return buf_put(out, view_of(state_names[o->state])) &&
           put_rcpts(out, " rcpts=", o->rcpts, o->rcpt_count) &&
           put_number(out, " attempts=", o->attempts) && put_number(out, " next=", o->next_ms) &&
           put_number(out, " at=", o->at_ms) && buf_put_byte(out, '\n');
}

bool record_get_outcome(const struct record *r, uint32_t *rcpts, struct store_outcome *o)
{
    struct view text = r->meta;
    struct view line = view_take_until(&text, '\n');
    struct view name = view_take_word(&line);
    struct view ranges;
    uint64_t attempts;
    size_t state;

    *o = (struct store_outcome){ .message = r->id, .rcpts = rcpts, .text = text };
    if (r->type != RECORD_OUTCOME || !name_index(state_names, STORE_STATES, name, &state))
        return false;
    if (!find(line, "rcpts=", &ranges) || !get_rcpts(ranges, rcpts, &o->rcpt_count))
        return false;
    if (!find_number(line, "attempts=", UINT32_MAX, &attempts))
        return false;
    o->state = (enum store_state)state;
    o->attempts = (uint32_t)attempts;
    return find_number(line, "next=", UINT64_MAX, &o->next_ms) &&
           find_number(line, "at=", UINT64_MAX, &o->at_ms);
}

/* ---- A: "hold at=1735689300000" and who ---- */

static const char *const change_names[STORE_CHANGES] = {
    [STORE_HOLD] = "hold",
    [STORE_RELEASE] = "release",
    [STORE_NOTICED] = "noticed",
    [STORE_DELETED] = "deleted",
};

bool record_put_change(struct buf *out, const struct store_change *c)
{
    return buf_put(out, view_of(change_names[c->kind])) && put_number(out, " at=", c->at_ms) &&
           buf_put_byte(out, '\n');
}

bool record_get_change(const struct record *r, struct store_change *c)
{
    struct view who = r->meta;
    struct view line = view_take_until(&who, '\n');
    struct view name = view_take_word(&line);
    size_t kind;

    *c = (struct store_change){ .message = r->id, .who = who };
    if (r->type != RECORD_CHANGE || !name_index(change_names, STORE_CHANGES, name, &kind))
        return false;
    c->kind = (enum store_change_kind)kind;
    return find_number(line, "at=", UINT64_MAX, &c->at_ms);
}

/* ---- X: nothing, or "place=00000001a200f3c0" ---- */

bool record_put_finish(struct buf *out, uint64_t id, uint64_t place)
{
    return place == id || (put_hex_word(out, "place=", place, 16) && buf_put_byte(out, '\n'));
}

uint64_t record_get_finish(const struct record *r)
{
    struct view meta = r->meta;
    uint64_t place;

    return find_hex(view_take_until(&meta, '\n'), "place=", &place) ? place : r->id;
}

/* ---- I: "end=67108864 crc=9d1e0b77" ---- */

bool record_put_index(struct buf *out, uint64_t end, uint32_t crc)
{
    return put_number(out, "end=", end) && put_hex_word(out, " crc=", crc, 8) &&
           buf_put_byte(out, '\n');
}

bool record_get_index(struct view meta, uint64_t *end, uint32_t *crc)
{
    struct view line = view_take_until(&meta, '\n');
    uint64_t number;

    if (!find_number(line, "end=", UINT64_MAX, end) || !find_hex(line, "crc=", &number))
        return false;
    *crc = (uint32_t)number;
    return true;
}

/* ---- S: "spool=... segment=... nonce=... bytes=... left=SEGMENT cut=SEGMENT:OFFSET,..." ---- */

static const char description[] =
    "\n"
    "This is a segment of the mail queue of Tern (doc/spool-format.md). No tool is needed to read "
    "it:\n"
    "    grep -aoE 'TERN1 [MC] [0-9a-f]{16}' FILE   the messages\n"
    "    grep -a '^rcpt=' FILE                      their recipients\n"
    "A record begins at a multiple of 64 bytes with a line of 64 bytes, numbers in hexadecimal:\n"
    "    TERN1 type id meta-bytes body-bytes batch back crc\n"
    "S: the segment begins. M: a message; its meta is a line by Tern and the envelope, its body "
    "the\n"
    "message as received, or empty when the line names a file: big/1a/1a...eml for file=1a...\n"
    "D: what became of recipients (counted from 0 in the order of the envelope) of message id.\n"
    "A: a change by hand. X: message id is finished. C: a message moved here. P: nothing.\n"
    "The crc is a CRC32C of the line up to it and the meta, begun with that of the eight bytes\n"
    "of the nonce (lowest first); the crc in the line of an M is one of the body alone.\n"
    "This prints every message that is in the file, finished or not. Where a record does not end "
    "at\n"
    "another one, its lengths may be damaged, and what is in it is looked through:\n"
    "\n"
    "    import os, re, sys\n"
    "    data = open(sys.argv[1], 'rb').read()\n"
    "    at = 8192\n"
    "    while at < len(data):\n"
    "        head = re.match(rb'TERN1 (\\w) (\\w{16}) ([\\da-f]{5}) ([\\da-f]{7}) ', data[at:at + "
    "64])\n"
    "        at += 64\n"
    "        if not head:\n"
    "            continue\n"
    "        meta, body = int(head[3], 16), int(head[4], 16)\n"
    "        line = data[at:at + meta].split(b'\\n')[0]\n"
    "        if head[1] in b'MC':\n"
    "            print('\\n----', head[2].decode(), flush=True)\n"
    "            sys.stdout.buffer.write(data[at:at + meta + body])\n"
    "            for big in re.findall(r' file=(\\w+)', line.decode(errors='replace')):\n"
    "                name = os.path.join(os.path.dirname(sys.argv[1]), '../big', big[:2], big + "
    "'.eml')\n"
    "                if os.path.exists(name):\n"
    "                    sys.stdout.buffer.write(open(name, 'rb').read())\n"
    "        end = at + (meta + body + 63) // 64 * 64\n"
    "        sure = head[1] not in b'MC' or b'file=' in line or b'body=%d ' % body in line\n"
    "        if sure and data[end:end + 6] == b'TERN1 ':\n"
    "            at = end\n";

static_assert(sizeof(description) + 512 < RECORD_HEAD_COPY, "the words must fit the first block");

static bool put_start(struct buf *line, const struct record_start *s)
{
    if (!buf_put(line, VIEW("spool=")) || !buf_put(line, s->spool) ||
        !put_hex_word(line, " segment=", s->segment, 12) ||
        !put_hex_word(line, " nonce=", s->nonce, 16) || !put_number(line, " bytes=", s->bytes) ||
        !put_hex_word(line, " left=", s->left, 12))
        return false;
    for (size_t i = 0; i < s->cut_count; i++) {
        if (!put_hex_word(line, i == 0 ? " cut=" : ",", s->cuts[i].segment, 12) ||
            !put_number(line, ":", s->cuts[i].offset))
            return false;
    }
    return buf_put_byte(line, '\n');
}

void record_put_head(char head[static RECORD_HEAD], const struct record_start *s)
{
    struct buf line = buf_on(head + RECORD_HEADER, RECORD_HEAD_COPY - RECORD_HEADER);
    struct record r = { .type = RECORD_START, .batch = s->first_batch };
    bool fits;
    size_t span;

    memset(head, 0, RECORD_HEAD);
    fits = put_start(&line, s);
    assert(fits);
    r.meta = buf_view(&line);
    record_seal(head, &r, 0);
    span = record_span(r.meta.len, 0);
    memcpy(head + RECORD_HEAD_COPY, head, span);
    memcpy(head + span, description, sizeof(description) - 1);
}

static bool get_cuts(struct view list, struct record_start *s)
{
    for (; list.len > 0 && s->cut_count < RECORD_CUTS; s->cut_count++) {
        struct record_cut *cut = &s->cuts[s->cut_count];
        struct view number = view_take_until(&list, ',');
        struct view segment = view_take_until(&number, ':');

        if (!view_hex_to_u64(segment, &cut->segment) ||
            !view_to_u64(number, UINT64_MAX, &cut->offset))
            return false;
    }
    return true;
}

static bool get_start(struct view block, struct record_start *s)
{
    struct view line, cuts;
    struct record r;

    if (!record_read(block, 0, &r) || r.type != RECORD_START)
        return false;
    *s = (struct record_start){ .first_batch = r.batch };
    line = view_take_until(&r.meta, '\n');
    if (!find(line, "spool=", &s->spool) || !find_hex(line, "segment=", &s->segment) ||
        !find_hex(line, "nonce=", &s->nonce) || !find_number(line, "bytes=", UINT64_MAX, &s->bytes))
        return false;
    s->tells_left = find_hex(line, "left=", &s->left);
    return !find(line, "cut=", &cuts) || get_cuts(cuts, s);
}

static bool is_blank(struct view block)
{
    for (size_t i = 0; i < RECORD_HEADER; i++) {
        if (block.ptr[i] != '\0')
            return false;
    }
    return true;
}

enum record_head record_get_head(struct view head, uint64_t number, struct record_start *s)
{
    unsigned good = 0, stale = 0;

    if (head.len < RECORD_HEAD)
        return RECORD_HEAD_LOST;
    for (size_t at = 0; at < RECORD_HEAD; at += RECORD_HEAD_COPY) {
        struct view block = view_sub(head, at, RECORD_HEAD_COPY);
        struct record_start copy;
        bool whole = get_start(block, &copy);

        if (whole && copy.segment == number) {
            *s = copy;
            good++;
        } else if (whole || is_blank(block)) {
            stale++;
        }
    }
    if (good > 0)
        return good == 2 ? RECORD_HEAD_WHOLE : RECORD_HEAD_HALF;
    return stale == 2 ? RECORD_HEAD_STALE : RECORD_HEAD_LOST;
}

/* ---- scan ---- */

static bool belongs(const struct record_scan *s, size_t at, struct record *r)
{
    if (!record_read(view_from(s->bytes, at), s->seed, r))
        return false;
    if (r->batch < s->batch || (uint64_t)r->back * RECORD_UNIT > at)
        return false;
    return r->type != RECORD_MESSAGE || r->id == record_place(s->segment, at);
}

enum record_step record_scan_next(struct record_scan *s, struct record *r, size_t *from, size_t *to)
{
    bool found;

    *from = *to = s->at;
    if (s->at >= s->bytes.len)
        return RECORD_END;
    while (!(found = belongs(s, *to, r)) && *to + RECORD_UNIT < s->bytes.len)
        *to += RECORD_UNIT;
    if (!found)
        *to = s->bytes.len;
    if (*to > *from || !found) {
        s->at = *to;
        return RECORD_GAP;
    }
    *to += record_span(r->meta.len, r->body.len);
    s->at = *to;
    s->batch = r->batch;
    if (r->type != RECORD_MESSAGE && r->type != RECORD_COPY)
        return RECORD_FOUND;
    return record_body_whole(r) ? RECORD_FOUND : RECORD_BROKEN;
}
