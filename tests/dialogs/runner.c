/* Runs dialogues against the server's engine: runner SETTINGS DIALOGUE. Each is run with what the
 * client says in one piece, byte by byte, and cut at random. What stands in a dialogue:
 *
 *   # a comment; empty lines too
 *   client 192.0.2.7         where the client is (this is the default)        | these
 *   at submission            the listener's name; else the first one          | come
 *   listener none            its TLS: none, offered, implicit, required       |
 *   set limits.errors 3      another setting, in its smallest unit            | first
 *   offer dsn smtputf8       these extensions, which are off otherwise        |
 *   spool full               the queue's state: fine, full, broken, suspended
 *   room 100                 its room, in bytes
 *   mechanisms PLAIN LOGIN   those that the auth process offers
 *   plain                    the listener's network is trusted: logins without TLS
 *   listed bl.test           the client stands on a list
 *   perhaps-listed bl.test   and one that may allow it did not answer
 *   naming                   the name of the client's host is being looked up
 *   rate messages 3          so many (messages, recipients, failures) are within the rates, ...
 *   rate-of login            ...which are those of: client (the default), network, login
 *   surplus hold             what is beyond a login's: refuse (the default), hold
 *   certificate              the client has one that is a login's
 *   check-from               logins write from their own addresses
 *   whole                    runs in one piece only: it depends on what arrives together
 *
 *   C: MAIL FROM:<a@b.test>  the client's line, CRLF is added
 *   C+ QUIT\r\n              its bytes, with \r \n \t \0 \\ \xHH, and nothing added
 *   C* 3000 x                bytes that many times
 *   S: 250 2.1.0 Sender ok   the server's whole line
 *   S~ 250-                  how its line begins
 *   wish commit              what the engine waits for: nothing, tls, auth, name, open, commit,
 * close give committed           what it gets: tls, opened, committed, or why not (as for spool)
 *   give challenge Who?      what the auth process says; with empty text too
 *   give login bob           ...and how it ends: also refused, too-many, temporary
 *   give name a.test         the name; "give name" alone: there is none; "give name-failed"
 *   response \0bob\0secret   what the client has answered, as bytes; "response" alone: nothing
 *   M: Subject: x            a line of the message that is to be committed, behind Received
 *   M* 3000 x                a line made of that
 *   M.                       its end
 *   trace with ESMTP         words in its Received field
 *   no-trace for             words that are not there
 *   envelope from=a@b.test   a line of its envelope
 *   no-envelope hold=        no line of it begins so
 *   applied few,wait         the rules that the log names for the message, once it is committed
 *   after 300s               silence
 *   turn-away Go             the client has to go, and is told that
 *   drain                    the server wants to end; "drain now": it ends
 *
 * The server must say what stands there, and nothing else. */
#include "common/memory.h"
#include "io/clock.h"
#include "io/config.h"
#include "tests/dialogs/dialog.h"

#include <stdio.h>
#include <stdlib.h>

enum { RANDOM_RUNS = 20 };

static const struct word *find_run(const struct word *words, struct view word)
{
    for (; words->run != NULL; words++) {
        if (view_equal(words->word, word))
            return words;
    }
    return NULL;
}

static bool run_line(struct dialog *d, struct view line)
{
    struct view word = view_take_until(&line, ' '); /* one blank: more of them belong to the text */
    const struct word *w = find_run(words_said, word);

    if (w == NULL)
        w = find_run(circumstances, word);
    return w != NULL && w->run(d, line);
}

/* ---- runs ---- */

static void run(struct dialog *d, struct view text)
{
    struct view line;

    buf_new(&d->said, ROOM);
    buf_new(&d->pending, ROOM);
    buf_new(&d->out, ROOM);
    buf_new(&d->message, 2 * ROOM);
    while (!d->failed && view_take_line(&text, &line)) {
        d->line++;
        if (line.len > 0 && line.ptr[0] != '#' && !run_line(d, line)) {
            fprintf(stderr, "%s:%u: not understood: %.*s\n", d->path, d->line, VIEW_ARG(line));
            d->failed = true;
        }
    }
    if (!d->failed)
        expect_silence(d);
    session_release(&d->session);
    rates_close(&d->buckets);
    if (!d->failed && (d->budget.used != 0 || d->addresses.used != 0)) {
        fprintf(stderr, "%s: memory of messages is still counted\n", d->path);
        d->failed = true;
    }
    buf_free(&d->said);
    buf_free(&d->pending);
    buf_free(&d->out);
    buf_free(&d->message);
}

static struct view read_file(const char *path)
{
    char *room = memory_new(ROOM);
    FILE *f = fopen(path, "rb");
    size_t len;

    if (f == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    len = fread(room, 1, ROOM, f);
    fclose(f);
    return view_make(room, len);
}

int main(int argc, char **argv)
{
    struct dialog fresh = {
        .client = { .family = AF_INET, .bytes = { 192, 0, 2, 7 } },
        .spool = { SPOOL_FINE, UINT64_MAX },
        .rates = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
        .rates_of = RATES_CLIENT,
    };
    struct error err = { "" };
    struct config *config;
    struct view text;
    bool failed = false, whole_only = false;

    if (argc != 3) {
        fprintf(stderr, "usage: %s SETTINGS DIALOGUE\n", argv[0]);
        return EXIT_FAILURE;
    }
    config = config_read(argv[1]);
    settings_read(&fresh.settings, config);
    clock_load_zone();
    if (rules_prepare(fresh.settings.rules, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    if (config_error_count(config) > 0) {
        fprintf(stderr, "%.*s", VIEW_ARG(config_errors(config)));
        return EXIT_FAILURE;
    }
    fresh.path = argv[2];
    fresh.listener = fresh.settings.listeners[0];
    text = read_file(argv[2]);
    for (unsigned i = 0; i < 2 + RANDOM_RUNS && !failed && !(whole_only && i > 0); i++) {
        struct dialog d = fresh;

        d.cut = i < CUT_RANDOM ? (enum cut)i : CUT_RANDOM;
        d.random = i;
        run(&d, text);
        failed = d.failed;
        whole_only = d.whole_only;
    }
    settings_release(&fresh.settings);
    config_free(&config);
    free((char *)(uintptr_t)text.ptr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
