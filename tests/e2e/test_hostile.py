"""Mail hosts that mean harm, or are merely broken: each costs its own mail a temporary failure, and nobody
else anything."""
import socket
import struct
import threading
import time

import pytest

from world import wait_for

STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "BDAT")
USUAL = {"greeting": b"220 mx\r\n", "DATA": b"354 go\r\n"}
QUICK = {name: "2s" for name in ("greeting", "ehlo", "mail", "rcpt", "data", "block", "final", "rset",
                                 "handshake", "transaction")}


def silence(s):
    time.sleep(30)


def drip(s):
    for byte in b"220-" + b"x" * 100:
        s.sendall(bytes([byte]))
        time.sleep(0.5)


def endless(s):
    while True:
        s.sendall(b"250-" + b"x" * 500 + b"\r\n")


def long_line(s):
    while True:
        s.sendall(b"x" * 65536)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def half_close(s):
    s.shutdown(socket.SHUT_WR)
    time.sleep(30)


def say(words):
    return lambda s: s.sendall(words)


HOW = {
    "silence": silence,
    "a byte now and then": drip,
    "endless lines": endless,
    "an endless line": long_line,
    "mixed codes": say(b"250-fine\r\n550 or not\r\n"),
    "garbage": say(bytes(range(256)) * 4 + b"\r\n"),
    "another protocol": say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "replies before commands": say(b"250 ok\r\n" * 20),
    "a code alone": say(b"999\r\n"),
    "421": say(b"421 4.3.2 not now\r\n"),
    "reset": reset,
    "close": lambda s: s.close(),
    "half closed": half_close,
}


class Host:
    """Behaves until a stage, and then in its own way."""

    def __init__(self, world, name, stage, how, starttls=False):
        self.stage, self.how, self.starttls = stage, how, starttls
        self.listener = socket.create_server((world.host("mx." + name), 25))
        world.dns.mx(name, (10, "mx." + name))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s:
                self.talk(s, s.makefile("rb"))
        except OSError:
            pass

    def talk(self, s, f):
        if not self.reply(s, "greeting"):
            return
        while line := f.readline():
            verb = line.split()[0].decode().upper()
            if verb == "STARTTLS":
                s.sendall(b"220 go\r\n")
                self.how(s)
                return
            if verb == "BDAT":
                f.read(int(line.split()[1]))
            if verb in ("QUIT", "RSET") or not self.reply(s, verb):
                return
            if verb == "DATA":
                while (line := f.readline()) and line != b".\r\n":
                    pass
                if not self.reply(s, "dot"):
                    return

    def reply(self, s, stage):
        if stage == self.stage:
            self.how(s)
            time.sleep(10)
            return False
        offer = b"250 ok\r\n"
        if stage == "EHLO" and self.starttls:
            offer = b"250-mx\r\n250 STARTTLS\r\n"
        elif stage == "EHLO" and self.stage == "BDAT":
            offer = b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
        s.sendall(USUAL.get(stage, offer))
        return True


def never_reads(s):
    """The window closes."""
    time.sleep(30)


@pytest.fixture
def hosts():
    made = []
    yield made
    for host in made:
        host.listener.shutdown(socket.SHUT_RDWR)
        host.listener.close()


def send_and_watch(world, domains, there):
    """Every message to the domains waits after a temporary failure; another gets through at once."""
    for domain in domains:
        world.send("alice@here.test", "b@" + domain)
    world.send("alice@here.test", "b@there.test")
    there.wait_message()

    def all_deferred():
        rows = world.queue("--all")
        return len(rows) == len(domains) and all(r["attempts"] == 1 for r in rows) and rows
    rows = wait_for(all_deferred, lambda: f"{len(domains)} deferred messages: {world.queue('--all')}")
    for row in rows:
        last = row["rcpts"][0]["last"]
        assert last["class"] == "deferred" and last["enhanced"].startswith("4."), row
        assert last["host"].startswith("mx." + row["rcpts"][0]["addr"].partition("@")[2]), row
    assert not world.log.has("bounced") and not world.mailbox("alice").files()
    assert not world.log.has("process_died")


def test_hosts_that_misbehave_at_any_stage_cost_only_time(world, hosts):
    there = world.domain("there.test")
    domains = []
    for stage in STAGES:
        for n, how in enumerate(HOW.values()):
            # "250 ok" many times is an answer to DATA's dot that is taken: the others of its kind are not.
            if stage in ("dot", "BDAT") and how in (HOW["replies before commands"],):
                continue
            domains.append(f"{stage}{n}.test".lower())
            hosts.append(Host(world, domains[-1], stage, how))
    world.start_relay(timeouts=QUICK)
    send_and_watch(world, domains, there)


class BareHost(Host):
    def reply(self, s, stage):
        s.sendall(USUAL.get(stage, b"250-mx\r\n250 ok\r\n").replace(b"\r", b""))
        return True


def test_a_host_whose_lines_end_in_lf_alone_gets_its_mail(world, hosts):
    hosts.append(BareHost(world, "bare.test", None, None))
    world.start_relay(timeouts=QUICK)
    world.send("alice@here.test", "b@bare.test")
    assert world.log.wait("delivered", recipient="b@bare.test")["reply"] == "mx\nok"


def test_tls_that_fails_in_any_way_and_no_plain_text_either(world, hosts):
    there = world.domain("there.test")
    domains = []
    for n, how in enumerate((silence, drip, long_line, HOW["garbage"], HOW["another protocol"], reset, half_close,
                             say(b"\x16\x03\x03\x00\x02\x02\x28"), say(b"250 injected\r\n"))):
        domains.append(f"tls{n}.test")
        hosts.append(Host(world, domains[-1], None, how, starttls=True))
    world.start_relay(timeouts=QUICK, routes=[{"domain": d, "via": "mx", "tls": "encrypt"} for d in domains])
    send_and_watch(world, domains, there)


def test_a_host_that_stops_reading_is_left(world, hosts):
    there = world.domain("there.test")
    host = Host(world, "full.test", None, silence)
    hosts.append(host)
    host.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    def talk(s, f):
        s.sendall(b"220 mx\r\n")
        for words in (b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            s.recv(1000)
            s.sendall(words)
        never_reads(s)
    host.talk = talk
    world.start_relay(timeouts=QUICK)
    world.send("alice@here.test", "b@full.test", b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 500_000)
    world.send("alice@here.test", "b@there.test")
    there.wait_message()
    row = world.wait_deferred("--domain", "full.test")
    assert row["rcpts"][0]["last"]["stage"] == "sending the message"


def test_a_host_that_is_slow_at_every_step_up_to_the_message_is_left(world, hosts):
    """Each reply is in time; all of them together are not."""
    there = world.domain("there.test")
    host = Host(world, "slow.test", None, silence)
    hosts.append(host)

    def reply(s, stage):
        for byte in USUAL.get(stage, b"250 ok\r\n"):
            s.sendall(bytes([byte]))
            time.sleep(0.5)
        return True
    host.reply = reply
    world.start_relay(timeouts={"opening": "6s"})
    send_and_watch(world, ["slow.test"], there)
    last = world.queue("--all")[0]["rcpts"][0]["last"]
    assert last["stage"] == "sending EHLO" and last["text"] == "timed out", last
