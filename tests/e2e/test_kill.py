"""Kills all of Tern at random moments under load, again and again. Every message that was answered
with 250 must arrive at least once, and none may arrive damaged. TERN_KILL_SECONDS: how long;
TERN_KILL_SEED: the seed of an earlier run."""
import hashlib
import os
import random
import re
import socket
import threading
import time
from collections import Counter

from world import RawClient, wait_for

SECONDS = float(os.environ.get("TERN_KILL_SECONDS", "40"))
SEED = int(os.environ.get("TERN_KILL_SEED", random.SystemRandom().getrandbits(32)))
CLIENTS = 6


class Load:
    """Clients that submit for as long as they are let, whatever happens to the server."""

    def __init__(self, seed):
        self.accepted = set()  # numbers of messages that were answered with 250
        self.number = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{seed}.{n}"),))
                        for n in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()

    def next_number(self):
        with self.lock:
            self.number += 1
            return self.number

    @staticmethod
    def letter(number, r):
        # Some are larger than spool.big-body.
        size = r.choice([0, 100, 4000, 4000, 30000, 400_000])
        body = (b"%x" % r.getrandbits(4 * size + 4) if size else b"")
        body = b"".join(body[i:i + 70] + b"\r\n" for i in range(0, len(body), 70))
        return (b"Subject: load\r\nX-Number: %d\r\nX-Sum: %s\r\n\r\n" %
                (number, hashlib.sha256(body).hexdigest().encode())) + body

    def session(self, r):
        with RawClient() as c:
            c.s.settimeout(30)
            c.hello()
            for _ in range(r.randint(1, 20)):
                number = self.next_number()
                c.begin("sender@here.test", "b@there.test", "alice@here.test")
                c.send(self.letter(number, r) + b".\r\n")
                if c.reply().startswith("250"):
                    self.accepted.add(number)
                if self.over.is_set():
                    return

    def run(self, r):
        while not self.over.is_set():
            try:
                self.session(r)
            except (AssertionError, OSError, socket.timeout):
                time.sleep(0.01)


def read(content):
    """The number of a message, after a look at whether it is whole."""
    content = content.replace(b"\r\n", b"\n")
    head, _, body = content.partition(b"\n\n")
    number = int(re.search(rb"X-Number: (\d+)", head)[1])
    expected = re.search(rb"X-Sum: (\w+)", head)[1].decode()
    found = hashlib.sha256(body.replace(b"\n", b"\r\n")).hexdigest()
    assert found == expected, f"message {number} is damaged"
    return number


def test_no_accepted_message_is_lost_when_everything_is_killed(world):
    print(f"TERN_KILL_SEED={SEED}")
    r = random.Random(SEED)
    there = world.domain("there.test")
    world.configure(retry={"first": "1s", "factor": "1", "longest": "1s", "notice": "0s"},
                    spool={"segment": "4M"},
                    limits={"connections-per-client": 1000})
    load = Load(SEED)
    rounds = 0
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            world.launch()
            time.sleep(r.expovariate(1.0))
            world.kill()
            rounds += 1
    finally:
        load.stop()
    world.start_relay()
    arrived_remotely = Counter()
    seen = 0

    def settled():
        nonlocal seen
        messages = list(there.messages)
        for m in messages[seen:]:
            arrived_remotely[read(m.content)] += 1
        seen = len(messages)
        return not world.queue()
    wait_for(settled, lambda: f"the queue to be empty: {world.queue()[:3]}", 240)
    settled()
    arrived_locally = Counter(map(read, world.mailbox("alice").messages()))
    print(f"{rounds} rounds, {load.number} submissions, {len(load.accepted)} accepted; duplicates: "
          f"{sum(arrived_remotely.values()) - len(arrived_remotely)} remote, "
          f"{sum(arrived_locally.values()) - len(arrived_locally)} local")
    assert load.accepted, "no message was accepted at all"
    lost_remotely = load.accepted - set(arrived_remotely)
    lost_locally = load.accepted - set(arrived_locally)
    assert not lost_remotely and not lost_locally, (sorted(lost_remotely), sorted(lost_locally))
    # The name of a mailbox's file is made of the message: a second copy has no place.
    assert set(arrived_locally.values()) <= {1}
    assert not world.log.has("message_damaged")
