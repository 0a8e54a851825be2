/* A peer: a channel to another of Tern's processes, with the rules of the conversation. What comes
 * is checked against the table of messages (type, direction); a violation is logged and closes the
 * channel.
 *
 * Between smtpd, queue and delivery, which say something about every message, what is said within
 * one turn of the loop goes in one packet: a byte that no message begins with, then each message
 * behind its length. The system calls and wakeups for single ones cost more than the messages. */
#ifndef IPC_PEER_H
#define IPC_PEER_H

#include "common/wire.h"
#include "io/channel.h"
#include "ipc/messages.h"

struct peer { /* embed */
    struct channel channel;
    struct list link; /* for the owner's list of peers */
    enum process self, kind;
    uint32_t index;            /* of the peer among its kind */
    struct wire_writer joined; /* private: what waits for the end of the turn */
    struct hook last;          /* private */
    /* One message. False: nonsense in this state; the channel is closed, `gone` follows. The
     * descriptor is the receiver's to close, also on false. */
    bool (*heard)(struct peer *p, enum message type, struct view fields, int fd);
    /* Called once, from the loop, when the channel is closed by the other side or by a
     * violation. The place to defer freeing. */
    void (*gone)(struct peer *p);
};

/* Takes the descriptor. Callbacks must be set before. */
int peer_open(struct peer *p, struct loop *l, enum process self, enum process kind, uint32_t index,
              int fd) MUST_USE;
void peer_close(struct peer *p); /* without calling `gone` */
bool peer_is_open(const struct peer *p);
void peer_flush(struct peer *p); /* sends what waits for the end of the turn */

/* The message that `m` points at, encoded in a buffer of the process and sent. Type and struct
 * belong together: peer_send_spool_commit(p, &m, fd) and so on. A message that does not fit a
 * packet is a mistake of ours: assert. */
#define PEER_SEND(NAME, lower, from, to)                                                           \
    void peer_send_##lower(struct peer *p, const struct message_##lower *m, int fd);
MESSAGES(PEER_SEND)
#undef PEER_SEND

#endif
