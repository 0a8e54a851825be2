/* Messages between Tern's own processes: one packet is one message, with at most one
 * descriptor, over a SOCK_SEQPACKET pair. */
#ifndef IO_CHANNEL_H
#define IO_CHANNEL_H

#include "common/buf.h"
#include "common/list.h"
#include "common/view.h"
#include "io/loop.h"

enum {
    CHANNEL_PACKET_MAX = 65536,    /* bytes of a message */
    CHANNEL_UNSENT_MAX = 64 << 20, /* bytes; a peer that leaves so much unread is hung up on */
};

struct channel { /* embed in the object that talks to the peer */
    struct watch watch;
    struct loop *loop;
    struct list unsent;  /* packets that the socket did not take; sent in order when it can */
    size_t unsent_bytes; /* the owner stops its sources while this is above its mark */
    bool corked;         /* private */
    /* A packet came; `bytes` dies with the call. `fd` is -1 or the receiver's to close. */
    void (*received)(struct channel *c, struct view bytes, int fd);
    /* The peer is gone, or an error happened: called once, from the loop. The channel is closed
     * already. */
    void (*closed)(struct channel *c);
    /* Optional: everything unsent has gone out after some of it had to wait. */
    void (*drained)(struct channel *c);
};

int channel_pair(int fds[2]) MUST_USE; /* non-blocking, close-on-exec; 0 or negative errno */

/* Takes the descriptor and begins to watch it; callbacks must be set before. At most
 * a fixed number of packets is received per turn, so that channels share the loop fairly. After a
 * negative errno the descriptor is still the caller's. */
int channel_open(struct channel *c, struct loop *l, int fd) MUST_USE;
void channel_close(struct channel *c); /* safe when closed; drops what is unsent */
bool channel_is_open(const struct channel *c);

/* Sends, or keeps a copy to send later: never blocks, never fails visibly (a dead peer shows as
 * `closed`, later, from the loop, and after everything that it still said; a closed channel drops
 * the message). At least one byte. `fd` is -1 or is duplicated into the message; the caller keeps
 * its own. */
void channel_send(struct channel *c, struct view bytes, int fd);

/* Without a loop, blocking: for start-up, before the sandbox. Bytes received, 0 at the end, or a
 * negative errno. */
long channel_receive_blocking(int socket, void *room, size_t size, int *fd) MUST_USE;

#endif
