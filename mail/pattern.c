#include "mail/pattern.h"

#include "common/memory.h"
#include "common/text.h"
#include "mail/literal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>

enum {
    MATCH_STEPS_MAX = 100000, /* some milliseconds; an honest pattern needs hundreds */
    MATCH_DEPTH_MAX = 1000,
    MATCH_HEAP_MAX_KIB = 1024,
};

struct pattern {
    pcre2_code *code;
    pcre2_code *bytes; /* for what is no UTF-8; NULL: it speaks of characters that are no bytes */
    pcre2_match_data *match;
    pcre2_match_context *limits;
    struct literal literal;
    /* What PCRE2 knows of the beginning of a text that `code` matches; NULL, or -1: nothing. */
    const uint8_t *starts; /* a bit for each byte that it may be */
    int first;             /* that byte, in either case */
};

static int compile(struct pattern *p, struct view text, struct error *err)
{
    uint32_t options = PCRE2_CASELESS | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C;
    PCRE2_UCHAR words[256];
    PCRE2_SIZE offset;
    int code;

    /* A pattern may ask for UTF itself, "(*UTF)": such a one is never run on what is none. */
    p->bytes = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options | PCRE2_NEVER_UTF, &code,
                             &offset, NULL);
    p->code =
        pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options | PCRE2_UTF, &code, &offset, NULL);
    if (p->code != NULL)
        return 0;
    (void)pcre2_get_error_message(code, words, sizeof(words));
    return error_set(err, -EINVAL, "%s, at byte %zu of the pattern", (const char *)words,
                     offset + 1);
}

/* It is not said of what was compiled to be anchored; so that is asked for with each match. */
static void learn(struct pattern *p)
{
    uint32_t type = 0, first = 0;

    (void)pcre2_pattern_info(p->code, PCRE2_INFO_FIRSTBITMAP, &p->starts);
    (void)pcre2_pattern_info(p->code, PCRE2_INFO_FIRSTCODETYPE, &type);
    (void)pcre2_pattern_info(p->code, PCRE2_INFO_FIRSTCODEUNIT, &first);
    p->first = type == 1 ? (int)first : -1;
}

/* Of an ASCII text. */
static bool may_begin(const struct pattern *p, struct view subject)
{
    unsigned char c = subject.len > 0 ? (unsigned char)subject.ptr[0] : 0;

    if (p->first >= 0)
        return subject.len > 0 && byte_lower((char)c) == byte_lower((char)p->first);
    return p->starts == NULL || (subject.len > 0 && (p->starts[c / 8] >> c % 8 & 1) != 0);
}

struct pattern *pattern_new(struct view text, struct error *err)
{
    struct pattern *p = memory_new(sizeof(*p));

    if (text.len == 0)
        text = VIEW("");
    if (compile(p, text, err) < 0) {
        pattern_free(&p);
        return NULL;
    }
    p->literal = literal_of(text);
    learn(p);
    p->match = pcre2_match_data_create(1, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (p->match == NULL || p->limits == NULL)
        abort();
    pcre2_set_match_limit(p->limits, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(p->limits, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(p->limits, MATCH_HEAP_MAX_KIB);
    return p;
}

void pattern_free(struct pattern **p)
{
    if (*p == NULL)
        return;
    pcre2_match_context_free((*p)->limits);
    pcre2_match_data_free((*p)->match);
    pcre2_code_free((*p)->code);
    pcre2_code_free((*p)->bytes);
    free(*p);
    *p = NULL;
}

struct view pattern_literal(const struct pattern *p)
{
    return view_make(p->literal.bytes, p->literal.len);
}

/* Most rules are not about most messages: what cannot match needs no matcher, which costs half a
 * microsecond. */
bool pattern_may_match(const struct pattern *p, struct view subject)
{
    return literal_is_in(&p->literal, subject);
}

enum pattern_result pattern_match(const struct pattern *p, struct view subject)
{
    bool ascii = text_is_ascii(subject);
    const pcre2_code *code = ascii || utf8_valid(subject) ? p->code : p->bytes;
    int result;

    if ((ascii && !may_begin(p, subject)) || !pattern_may_match(p, subject))
        return PATTERN_NO;
    if (subject.len == 0)
        subject = VIEW("");
    if (code == NULL)
        return PATTERN_FAILED;
    result = pcre2_match(code, (PCRE2_SPTR)subject.ptr, subject.len, 0,
                         PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, p->match, p->limits);
    if (result == PCRE2_ERROR_NOMATCH)
        return PATTERN_NO;
    return result >= 0 ? PATTERN_YES : PATTERN_FAILED;
}
