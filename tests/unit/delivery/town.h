/* What surrounds a delivery process: mail hosts on loopback addresses, a queue that sends jobs and
 * notes results, a dns process with few answers. All on one loop. */
#ifndef TESTS_UNIT_DELIVERY_TOWN_H
#define TESTS_UNIT_DELIVERY_TOWN_H

#include "delivery/worker.h"

enum { TOWN_HOSTS = 2, TOWN_GUESTS_MAX = 64, TOWN_RCPTS_MAX = 26 };

#define TOWN_TWO_HOSTS                                                                             \
    "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n"
#define TOWN_CHUNKING "EHLO 250-mx.test\\250-CHUNKING\\250 PIPELINING"
#define TOWN_HELLO    VIEW("Subject: x\r\n\r\n.hello\r\n")
#define TOWN_TARGET(name)                                                                          \
    {                                                                                              \
        .kind = TARGET_HOST, .host = VIEW_INIT(name)                                               \
    }

/* A connection to a host, as the host sees it. */
struct town_guest {
    struct watch watch;
    struct town_host *host;
    struct buf input;
    bool content, tls, closed;
    unsigned rcpts; /* of the transaction */
    uint64_t chunk; /* bytes that are content, and not yet there */
};

struct town_host {
    struct town *town;
    struct watch watch;
    /* Replies, a line each: "VERB text" for the commands, GREETING, CONTENT (the final dot; BDAT
     * for a chunk; EARLY: before it) and TLS (the handshake); "VERB close" closes instead;
     * "VERB -" says nothing. What is not there is answered with success. */
    const char *script;
    unsigned close_after; /* messages, silently; 0: never */
    unsigned rcpts_most;  /* of a transaction; to those behind it, 452 is said; 0: no limit */
    unsigned full;        /* likewise to this one alone; 0: to none */
    bool bare;            /* without an enhanced code */
    unsigned rcpts;       /* that it was asked to take */
    unsigned connections, open, most_open, messages;
    struct town_guest guests[TOWN_GUESTS_MAX];
    struct buf heard; /* the last content, dots stuffed if it came by DATA */
};

struct town {
    struct loop loop;
    struct settings settings;
    struct worker worker;
    struct tls_context *tls;
    struct town_host hosts[TOWN_HOSTS]; /* at 127.0.0.2 and 127.0.0.3, one port */
    struct peer queue, dns;
    /* A line each: "NAME mx 10 HOST ...", "NAME a ADDRESS ..." or "NAME late"; else NXDOMAIN. */
    const char *names;
    const char *site, *mail_hosts; /* of the jobs; NULL: the domain, and unknown */
    uint64_t connection_us;        /* likewise; 0: no limit */
    bool dns_silent;
    uint32_t attempt; /* of the jobs; 0: the first, for which BDAT is allowed */
    bool routed;      /* jobs go by the first route of the settings */
    unsigned ready_for, questions;
    unsigned ended;            /* jobs */
    struct buf results;        /* "JOB RCPT|all CLASS CODE ENHANCED" and "JOB end", a line each */
    struct buf reason;         /* outcome_print of the last */
    unsigned more, more_rcpts; /* transactions beyond the first of each job, and their recipients */
    struct buf tls_missed;     /* hosts, a line each */
    enum outcome_scope scope;  /* of the last */
    bool require_tls;          /* what the messages ask for */
    unsigned rcpts;            /* of the jobs: a@, b@ and so on; 0: two */
    const char *second;        /* the domain of the second recipient; NULL: that of the first */
};

void town_open(struct town *t, const char *names, const char *script0, const char *script1);
void town_close(struct town *t);
void town_connect_queue(struct town *t);
void town_connect_dns(struct town *t);

/* A job for a@DOMAIN, b@DOMAIN, by MX. `big`: in a file. */
void town_send_job(struct town *t, uint64_t job, struct view domain, struct view body, bool big);
/* A small one to the domain, until all jobs up to it have ended. */
void town_deliver(struct town *t, unsigned job, const char *domain);
/* `unit` again and again, and CRLF at the end; heap. */
char *town_make_body(size_t bytes, const char *unit) MUST_USE;
/* From now on jobs go by this route, which is filled in but for what is special. */
void town_use_route(struct town *t, struct route_settings *r, const struct route_target *targets,
                    size_t count);
void town_set_timeouts(struct town *t, uint64_t ms); /* all of them */
/* Turns the loop until `ended` jobs have ended; false: not within some seconds. */
bool town_await(struct town *t, unsigned ended) MUST_USE;
void town_turn(struct town *t, unsigned turns);

#endif
