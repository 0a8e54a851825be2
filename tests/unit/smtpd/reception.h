/* smtpd with everything but master around it: a client on a socket, the ends of queue and dns on
 * channels, and time that moves when the test says so. */
#ifndef TESTS_UNIT_SMTPD_RECEPTION_H
#define TESTS_UNIT_SMTPD_RECEPTION_H

#include "io/clock.h"
#include "io/stream.h"
#include "smtpd/conn.h"
#include "tests/unit/unit.h"

enum {
    ROOM = 2 << 20, /* bytes, for what one side hears */
    BIG = 600000,   /* bytes of a message that needs a file */
};

/* The queue's end: it answers at once, or as the test says. */
struct queue {
    struct peer peer;
    bool open, silent;
    enum spool_trouble trouble; /* what it answers to a commit */
    unsigned commits, opens, aborts;
    uint64_t last; /* transaction that it heard of */
    struct buf body;
    char envelope[8192];
    struct message_spool_commit commit;
    int file;
};

struct client {
    struct stream stream;
    char heard[ROOM];
    size_t heard_len, listened;
    bool closed;
};

/* The end of dns: what it was asked. */
struct names {
    struct peer peer;
    unsigned asked;
    uint64_t question;
    char address[NET_ADDRESS_TEXT_MAX];
};

extern struct queue queue;
extern struct client client;
extern struct names names;
extern struct settings settings;
extern struct loop loop;
extern struct server server;
extern struct session_rules rules;
extern struct list listeners;
extern unsigned emptied; /* how often the server said so */
extern int counters;     /* the file that limits count in */

/* Of every test; the settings are those of the file that main was given. */
int begin(void **state);
int end(void **state);
#define TEST(name)             cmocka_unit_test_setup_teardown(name, begin, end)
#define RUN(tests, argc, argv) (set_up(argc, argv), cmocka_run_group_tests(tests, NULL, NULL))
void set_up(int argc, char **argv);

void start_queue(void);
void stop_queue(void);
void start_dns(void);
void answer_name(enum dns_result result, const char *name);
void on_smtpd_gone(struct peer *p);

/* As many turns of the loop as anything takes; with turn() the client listens. */
void turn(void);
void turn_only(void);
void wait_ms(uint64_t ms); /* and then turn() */
void connect_client(void); /* from 192.0.2.77 */
void connect_client_from(const char *address);
void say(const char *words);
/* Whether the server said this next, and it alone up to here. */
void hear(const char *words);
void pass_over(void);
/* Up to the reply to DATA. */
void begin_message(void);
/* The client sends 6,120 bytes, and waits: as long as they may take, and a little longer. */
void be_too_slow(void);
/* `len` bytes of lines, with the end of the message behind them; to be freed. */
char *make_message(size_t len);

#endif
