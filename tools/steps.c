#include "tools/steps.h"

#include "common/buf.h"
#include "common/text.h"
#include "tools/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 4096 }; /* bytes of a step */

static void print_quoted(struct view text)
{
    char room[8 * WORDS_MAX];
    struct buf out = BUF_ON_ARRAY(room);

    (void)json_quote(view_sub(text, 0, WORDS_MAX), &out);
    printf("%.*s", VIEW_ARG(buf_view(&out)));
}

void steps_begin(struct steps *s, struct view sender, struct view recipient)
{
    s->count = 0;
    if (s->json) {
        fputs("{\"v\":1,\"sender\":", stdout);
        print_quoted(sender);
        fputs(",\"recipient\":", stdout);
        print_quoted(recipient);
        fputs(",\"steps\":[", stdout);
        return;
    }
    fputs("from <", stdout);
    print_safe(sender);
    fputs("> to <", stdout);
    print_safe(recipient);
    fputs(">\n", stdout);
}

void steps_add(struct steps *s, const char *step, const char *origin, const char *format, ...)
{
    char words[WORDS_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    if (s->json) {
        printf("%s{\"step\":\"%s\",\"what\":", s->count > 0 ? "," : "", step);
        print_quoted(view_of(words));
        if (origin != NULL) {
            fputs(",\"origin\":", stdout);
            print_quoted(view_of(origin));
        }
        putchar('}');
    } else {
        printf("  %-10s ", step);
        print_safe(view_of(words));
        if (origin != NULL)
            printf("  [%s]", origin);
        putchar('\n');
    }
    s->count++;
}

void steps_end(struct steps *s, const char *result)
{
    if (s->json)
        printf("],\"result\":\"%s\"}\n", result);
    else
        printf("  %-10s %s\n", "result", result);
}
