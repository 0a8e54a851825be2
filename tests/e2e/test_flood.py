"""Floods: each is bounded, and others are served all the while."""
import threading
from pathlib import Path

import pytest

from test_submission import HELLO
from world import RawClient, wait_for

STRANGER = "127.0.0.9"
MEMORY_MOST = 24 << 20  # bytes that all smtpd processes together may grow by


def private_bytes(world):
    """What the smtpd processes have for themselves."""
    total = 0
    for pid in world.pids_of("smtpd"):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1]) * 1024
    return total


@pytest.fixture
def flooded(world, request):
    """A relay; at the end, others are served and memory is what it was, nearly."""
    world.start_relay(workers={"smtpd": 1}, limits={"connections": 500, "errors": 100000},
                      strangers={"slow-by": "0s"},
                      rates={f"client-{kind}": "off" for kind in
                             ("connections", "messages", "recipients", "failures")} |
                            {f"network-{kind}": "off" for kind in
                             ("connections", "messages", "recipients", "failures")})
    world.send("a@here.test", "alice@here.test", HELLO)
    before = private_bytes(world)
    yield world
    if getattr(request.node, "call_failed", False):
        return
    world.send("a@here.test", "alice@here.test", HELLO)
    grown = private_bytes(world) - before
    assert grown < MEMORY_MOST, f"{grown} bytes more"


def stranger(source=STRANGER):
    c = RawClient(source=source)
    c.hello()
    return c


def flood(c, data, count, end=b"\r\nQUIT\r\n"):
    """Sends without end, while another thread reads what comes back; the last reply lines."""
    replies = []

    def read():
        while (reply := c.reply()) != "":
            replies[:] = replies[-9:] + [reply]
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(count):
            c.send(data)
        c.send(end)
    except OSError:
        pass
    reader.join()
    return replies


def test_connections_of_one_client(flooded):
    held = [stranger() for _ in range(50)]
    for _ in range(200):
        with RawClient(source=STRANGER) as c:
            assert c.reply().startswith("421 4.7.0")
    stranger("127.0.0.10").close()
    flooded.send("a@here.test", "alice@here.test", HELLO)
    for c in held:
        c.close()


def test_connections_of_many_clients(flooded):
    """All places are taken by strangers: who may relay has one nevertheless."""
    held = [stranger(f"127.0.1.{i + 1}") for i in range(250)]
    held += [stranger(f"127.0.2.{i + 1}") for i in range(250)]
    with RawClient(source="127.0.3.1") as c:
        assert c.reply().startswith("421 4.7.0 Too many connections here")
    for _ in range(10):
        flooded.send("a@here.test", "alice@here.test", HELLO)
    for c in held:
        c.close()


def test_recipients_without_end(flooded):
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        replies = flood(c, b"".join(b"RCPT TO:<alice+%d@here.test>\r\n" % n for n in range(20000)), 1)
        assert {r[:9] for r in replies[:-2]} == {"452 4.5.3"}, replies


def test_commands_without_end(flooded):
    with stranger() as c:
        replies = flood(c, b"NOOP\r\n" * 10000, 100)
        assert replies[-1].startswith("221"), replies


def test_a_line_without_end(flooded):
    with stranger() as c:
        replies = flood(c, b"x" * 65536, 500)
        assert replies[0].startswith("500 5.5.2 Line too long"), replies
        assert replies[-1].startswith("221"), replies


def test_a_line_without_end_in_a_message(flooded):
    with stranger() as c:
        c.begin("a@there.test", "alice@here.test")
        replies = flood(c, b"x" * 65536, 900, b"\r\n.\r\nQUIT\r\n")
        assert [r[:9] for r in replies] == ["552 5.3.4", "221 2.0.0"], replies


def test_replies_that_nobody_reads(flooded):
    """The relay stops reading, and keeps little for who does not listen."""
    talkers = [stranger() for _ in range(20)]
    for c in talkers:
        c.s.settimeout(0.1)
        try:
            while True:
                c.send(b"HELP\r\n" * 10000)
        except TimeoutError:
            pass
    flooded.send("a@here.test", "alice@here.test", HELLO)
    for c in talkers:
        c.close()


def test_messages_that_drip(flooded):
    dripping = [stranger(f"127.0.1.{i + 1}") for i in range(200)]
    for c in dripping:
        c.begin("a@there.test", "alice@here.test")
    for _ in range(20):
        for c in dripping:
            c.send(b"x")
        flooded.send("a@here.test", "alice@here.test", HELLO)
    for c in dripping:
        c.close()
    wait_for(lambda: len(flooded.log.find("session_closed", reason="lost within a transaction")) >= 200,
             "the sessions to end")


def test_recipients_that_are_guessed(flooded):
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        replies = flood(c, b"".join(b"RCPT TO:<u%d@here.test>\r\n" % i for i in range(1000)), 20)
        assert replies[0].startswith("550 5.1.1") or replies[0].startswith("421"), replies
