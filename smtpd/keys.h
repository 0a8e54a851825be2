/* Asks the process that has the private keys to sign. A handshake waits for that, and so does this
 * process: the signature itself would take as long here. */
#ifndef SMTPD_KEYS_H
#define SMTPD_KEYS_H

#include "io/tls_key.h"

#include <stdint.h>

enum {
    KEYS_PATIENCE_MS = 5000,    /* for a signature, which takes less than a millisecond or two */
    KEYS_PATIENCE_LATE_MS = 50, /* after one that did not come: all sessions wait for it */
};

struct keys {
    struct tls_signer signer;
    int fd; /* the channel; -1: there is none, and no handshake succeeds */
    uint64_t requests;
    bool late; /* the last answer did not come in time; later it may be there again */
};

void keys_init(struct keys *k);
/* Takes the channel to a new process. */
void keys_connect(struct keys *k, int fd);

#endif
