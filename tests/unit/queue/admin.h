/* The administrator at the control socket of the world's queue, for one request at a time. */
#ifndef TESTS_UNIT_QUEUE_ADMIN_H
#define TESTS_UNIT_QUEUE_ADMIN_H

#include "queue/control.h"
#include "tests/unit/queue/world.h"
#include "tests/unit/unit.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, ANSWER_MOST = 4 << 20 };

extern const struct view body; /* of the mail there is */
extern int admin;              /* the administrator's end of a connection */
extern char answer[ANSWER_MOST];
extern size_t answer_len;

int admin_set_up(void **state); /* the world, with an administrator */
int admin_tear_down(void **state);
void admin_connect(void);

void send_text(struct view text);
void hear(void); /* reads slowly, so that the queue has to wait for its reader */
void ask(const char *request);
void ask_about(const char *verb, uint64_t id);

bool answered(const char *text);
uint64_t matched(void);
void check_lines(void); /* every one of the answer has to be JSON */

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, admin_set_up, admin_tear_down)

#endif
