#include "queue/search.h"

#include "common/memory.h"
#include "mail/fields.h"
#include "queue/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW = 512 << 10, /* bytes; the longest record has less */
    SLICE = 256 << 10,  /* read in one step: some 100 us when it is in memory */
};

static const struct view between = VIEW_INIT("\n\n");

struct search *search_new(struct view word)
{
    struct search *s = memory_new(sizeof(*s));
    struct buf text;
    uint64_t id;

    buf_new(&text, 3 * word.len + 32);
    s->exact = past_is_id(word, &id);
    if (s->exact)
        buf_printf(&text, "k=%016" PRIx64 "\n", id);
    else
        fields_put(&text, "k", word);
    s->word = memory_copy(word);
    s->needle = memory_copy(view_sub(buf_view(&text), 2, buf_len(&text) - 3));
    buf_free(&text);
    s->fd = -1;
    buf_new(&s->window, WINDOW);
    if (history_list(&s->names, &s->count) < 0)
        s->count = 0;
    return s;
}

void search_free(struct search **s)
{
    if (*s == NULL)
        return;
    if ((*s)->fd >= 0)
        close((*s)->fd);
    for (size_t i = 0; i < (*s)->count; i++)
        free((*s)->names[i]);
    free((*s)->names);
    free((*s)->word);
    free((*s)->needle);
    buf_free(&(*s)->window);
    free(*s);
    *s = NULL;
}

/* ---- reading ---- */

/* False: there is no further file. One that was removed meanwhile is passed over. */
static bool open_next(struct search *s)
{
    while (s->fd < 0 && s->next < s->count) {
        char path[512];

        snprintf(path, sizeof(path), HISTORY_FOLDER "/%s", s->names[s->next++]);
        s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    return s->fd >= 0;
}

static void end_file(struct search *s)
{
    close(s->fd);
    s->fd = -1;
    buf_clear(&s->window);
    s->at = 0;
}

static void read_slice(struct search *s)
{
    size_t room;
    char *tail = buf_tail(&s->window, &room);
    ssize_t n = read(s->fd, tail, MIN(room, (size_t)SLICE));

    if (n > 0)
        buf_extend(&s->window, (size_t)n);
    else if (n == 0 || errno != EINTR)
        end_file(s); /* a torn end stays unread */
}

/* ---- looking ---- */

/* The byte to look for: '@' is rare, and has no case. */
static size_t anchor_of(struct view needle)
{
    size_t at = view_find(needle, '@');

    return at < needle.len ? at : 0;
}

/* Where the needle is, whatever its case; text.len: nowhere. */
static size_t find_needle(struct view text, struct view needle)
{
    size_t anchor = anchor_of(needle), from = anchor;

    while (from < text.len) {
        size_t hit = from + view_find(view_from(text, from), needle.ptr[anchor]);

        if (hit >= text.len || hit - anchor + needle.len > text.len)
            break;
        if (view_equal_nocase(view_sub(text, hit - anchor, needle.len), needle))
            return hit - anchor;
        from = hit + 1;
    }
    return text.len;
}

/* Digits are everywhere: for an id, all of it is looked for at once. */
static size_t find(const struct search *s, struct view text, struct view needle)
{
    if (needle.len == 0)
        return text.len;
    return s->exact ? view_find_view(text, needle) : find_needle(text, needle);
}

/* Behind the empty line before `at`. */
static size_t find_start(struct view text, size_t at)
{
    while (at > 1 && !(text.ptr[at - 1] == '\n' && text.ptr[at - 2] == '\n'))
        at--;
    return at > 1 ? at : 0;
}

/* The next record in the window that has the needle. False: what is left in the window begins a
 * record that is not whole. */
static bool next_candidate(struct search *s, struct view *record)
{
    struct view needle = view_of(s->needle);
    struct view rest = view_from(buf_view(&s->window), s->at);
    size_t hit = find(s, rest, needle);
    size_t start, len;

    if (hit >= rest.len) {
        size_t lf = view_find_last(rest, '\n'); /* no record goes beyond its empty line */

        s->at += find_start(rest, lf < rest.len ? lf + 1 : 0);
        return false;
    }
    start = find_start(rest, hit);
    len = view_find_view(view_from(rest, start), between);
    s->at += start;
    if (len == rest.len - start)
        return false;
    *record = view_sub(rest, start, len + between.len);
    s->at += record->len;
    return true;
}

enum search_step search_step(struct search *s, struct arena *arena, struct past *p)
{
    struct view record;

    if (!open_next(s))
        return SEARCH_OVER;
    while (next_candidate(s, &record)) {
        arena_reset(arena);
        if (past_decode(record, arena, p) && past_means(p->id, &p->envelope, view_of(s->word)))
            return SEARCH_FOUND;
    }
    if (s->at == 0 && buf_space(&s->window) == 0)
        buf_clear(&s->window); /* no record of ours */
    buf_consume(&s->window, s->at);
    s->at = 0;
    read_slice(s);
    return SEARCH_ON;
}
