/* Segments that are gone, or have lost their ends. */
#include "queue/check.h"
#include "queue/record.h"
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGES = 20, KEPT = 3, SMALL = 1500, LARGE = 60000 };

static enum check_result run_check(const char *path)
{
    struct error err = { "" };
    int fd = open("/dev/null", O_WRONLY);
    enum check_result result;

    check("entered", fd >= 0 && chdir(path) == 0);
    result = check_spool(fd, false, &err);
    check("left", chdir("/") == 0 && close(fd) == 0);
    check("a failure says why", (result == CHECK_FAILED) == (err.text[0] != '\0'));
    return result;
}

static uint64_t damaged_of(struct box *b)
{
    struct store_numbers n;

    store_count(b->store, &n);
    return n.damaged;
}

/* ---- segments that are too short ---- */

static size_t told_whole(struct box *b, struct box_commit *const *mail)
{
    size_t count = 0;

    for (uint64_t i = 0; i < MESSAGES; i++)
        count += box_find(b, mail[i]->commit.id) != NULL && box_is_told_whole(b, mail[i], i);
    return count;
}

static void first_segment(const struct box *b, const struct box_commit *c, char *path, size_t size)
{
    char name[SHELF_NAME];

    segment_name(record_segment(c->commit.id), name);
    snprintf(path, size, "%s/log/%s", b->path, name);
}

/* Of mail that was acknowledged, the first segment with any of it ends behind so many messages, and
 * `more` bytes. */
static void shorten(size_t body_bytes, size_t keep, size_t more)
{
    struct box_commit *mail[MESSAGES], *next;
    struct box b;
    char path[200];
    struct stat facts;
    size_t at;

    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        mail[i] = box_accept(&b, i, body_bytes);
    box_close(&b);
    check("sound", run_check(b.path) == CHECK_SOUND);
    first_segment(&b, mail[0], path, sizeof(path));
    at = (keep == 0 ? 0 : box_end_of(mail[keep - 1]->commit.where)) + more;
    check("cut", truncate(path, (off_t)at) == 0);
    check("found", run_check(b.path) == CHECK_DAMAGED);
    box_open(&b, true);
    check("said", damaged_of(&b) > 0);
    check("what is left is there", told_whole(&b, mail) >= keep && b.told_count < MESSAGES);
    next = box_accept(&b, MESSAGES, body_bytes);
    for (size_t i = 0; i < MESSAGES; i++)
        check("no id comes again",
              record_segment(next->commit.id) != record_segment(mail[0]->commit.id) &&
                  next->commit.id != mail[i]->commit.id);
    box_close(&b);
    box_open(&b, true);
    check("still there", told_whole(&b, mail) >= keep && box_is_told_whole(&b, next, MESSAGES));
    check("nothing was written behind its end",
          stat(path, &facts) < 0 ? keep == 0 : facts.st_size == (off_t)at);
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(mail[i]);
    box_commit_free(next);
    box_remove(&b);
}

static void a_full_segment_that_is_cut_is_damage(void **state)
{
    (void)state;
    shorten(LARGE, KEPT, 0);
    shorten(LARGE, KEPT, 30000);
}

static void the_newest_segment_that_is_cut_is_damage(void **state)
{
    (void)state;
    shorten(SMALL, KEPT, 0);
    shorten(SMALL, KEPT, 30);   /* a piece of a header */
    shorten(SMALL, KEPT, 1000); /* of a record */
}

static void a_segment_without_a_head_is_damage(void **state)
{
    (void)state;
    shorten(SMALL, 0, 0);
    shorten(SMALL, 0, 10);
    shorten(SMALL, 0, RECORD_HEAD_COPY);
    shorten(SMALL, 0, RECORD_HEAD);
    shorten(LARGE, 0, 0);
}

/* ---- the whole log ---- */

static struct box_commit *accept_big(struct box *b)
{
    struct box_commit *c = box_commit(b, 1, 0);

    c->commit.big_fd = store_create_body(b->store, &c->commit.big_file);
    check("written", write(c->commit.big_fd, "0123456789", 10) == 10);
    c->commit.body_bytes = 10;
    store_accept(b->store, &c->commit);
    box_settle(b);
    check("accepted", c->done && c->trouble == SPOOL_FINE);
    close(c->commit.big_fd);
    return c;
}

static void remove_log(const struct box *b, bool folder)
{
    char path[400];
    DIR *dir;
    struct dirent *e;

    snprintf(path, sizeof(path), "%s/log", b->path);
    dir = opendir(path);
    check("there", dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/log/%s", b->path, e->d_name);
        check("removed", e->d_name[0] == '.' || unlink(path) == 0);
    }
    closedir(dir);
    snprintf(path, sizeof(path), "%s/log", b->path);
    check("removed", !folder || rmdir(path) == 0);
}

static void large_bodies_survive_a_lost_log(void **state)
{
    (void)state;
    for (int folder = 0; folder < 2; folder++) {
        struct box b;
        struct box_commit *c;

        box_new(&b);
        box_open(&b, true);
        c = accept_big(&b);
        box_close(&b);
        remove_log(&b, folder > 0);
        check("found", run_check(b.path) == CHECK_DAMAGED);
        box_open(&b, true);
        check("said", b.told_count == 0 && damaged_of(&b) > 0);
        check("the body is kept", box_count_files(&b, "bad") == 1);
        box_close(&b);
        box_open(&b, true);
        check("said once", damaged_of(&b) == 0 && box_count_files(&b, "bad") == 1);
        box_commit_free(c);
        box_remove(&b);
    }
}

static void a_new_spool_is_sound(void **state)
{
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    check("nothing is lost", damaged_of(&b) == 0);
    box_close(&b);
    check("nor found", run_check(b.path) == CHECK_SOUND);
    box_remove(&b);
}

static void what_is_no_spool_is_not_sound(void **state)
{
    char path[] = "/tmp/tern-no-spool-XXXXXX";

    (void)state;
    check("made", mkdtemp(path) != NULL);
    check("it could not look", run_check(path) == CHECK_FAILED);
    check("removed", rmdir(path) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_segment_that_is_cut_is_damage),
        cmocka_unit_test(the_newest_segment_that_is_cut_is_damage),
        cmocka_unit_test(a_segment_without_a_head_is_damage),
        cmocka_unit_test(large_bodies_survive_a_lost_log),
        cmocka_unit_test(a_new_spool_is_sound),
        cmocka_unit_test(what_is_no_spool_is_not_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
