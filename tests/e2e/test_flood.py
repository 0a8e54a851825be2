"""Floods: each is bounded, and others are served all the while."""
import threading
from pathlib import Path

import pytest

import test_login
from test_submission import HELLO
from world import RawClient, wait_for

STRANGER = "127.0.0.9"
MEMORY_MOST = 24 << 20  # bytes that all smtpd processes together may grow by


def private_bytes(world, role="smtpd"):
    """What the processes of a role have for themselves."""
    total = 0
    for pid in world.pids_of(role):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1]) * 1024
    return total


# So that nothing but memory and time stops a flood.
UNLIMITED = {"workers": {"smtpd": 1}, "limits": {"connections": 500, "errors": 100000},
             "strangers": {"slow-by": "0s"},
             "rates": {f"{whose}-{kind}": "none" for whose in ("client", "network")
                       for kind in ("connections", "messages", "recipients", "failures")}}


@pytest.fixture
def flooded(world, request):
    """A relay; at the end, others are served and memory is what it was, nearly."""
    world.start_relay(**UNLIMITED)
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


def test_chunks_of_one_byte(flooded):
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        assert c.command("RCPT TO:<alice@here.test>").startswith("250")
        replies = flood(c, b"BDAT 1\r\nx" * 10000, 50, b"BDAT 0 LAST\r\nQUIT\r\n")
        assert [r[:9] for r in replies[-2:]] == ["250 2.0.0", "221 2.0.0"], replies
    assert len(flooded.mailbox("alice").wait(2)) == 2


def test_messages_that_are_refused_at_their_end(flooded):
    """Each wants a file of its own, and none is left behind."""
    large = b"0123456789abcde\r\n" * 40000
    with stranger() as c:
        for _ in range(20):
            c.begin("a@there.test", "alice@here.test")
            c.send(large + b"bare\nline feed\r\n.\r\n")
            assert c.reply().startswith("550 5.5.2")
        c.begin("a@there.test", "alice@here.test")
        c.send(HELLO + b".\r\n")
        assert c.reply().startswith("250")
    wait_for(lambda: not list(flooded.spool.glob("big/*/*")), "the files to go")


def test_passwords_that_are_guessed(world):
    """By many at once, without end: bounded memory, and who knows his password gets in."""
    world.configure(**UNLIMITED)
    # A sanitizer keeps what was given back.
    world.environment["ASAN_OPTIONS"] = "detect_leaks=0:quarantine_size_mb=1"
    test_login.start(world)
    with test_login.under_tls(world) as c:
        assert c.command(test_login.plain("alice@here.test")).startswith("235")
    before = {role: private_bytes(world, role) for role in ("smtpd", "auth")}
    over = threading.Event()
    answers = []

    def guess(source):
        while not over.is_set():
            with test_login.under_tls(world, source=source) as c:
                for i in range(20):
                    words = c.command(test_login.plain(f"user{i}@here.test", f"guess {i}"))
                    answers.append(words[:9])
    guessers = [threading.Thread(target=guess, args=(f"127.0.1.{n}",)) for n in range(1, 17)]
    for t in guessers:
        t.start()
    for _ in range(10):
        with test_login.under_tls(world) as c:
            assert c.command(test_login.plain("alice@here.test")).startswith("235")
            c.begin("alice@here.test", "alice@here.test")
            c.send(HELLO + b".\r\n")
            assert c.reply().startswith("250")
    over.set()
    for t in guessers:
        t.join()
    assert len(answers) >= 16 and set(answers) == {"535 5.7.8", "454 4.7.0"}, set(answers)
    for role, bytes_before in before.items():
        grown = private_bytes(world, role) - bytes_before
        assert grown < MEMORY_MOST, f"{role} has {grown} bytes more"
    world.mailbox("alice").wait(10)
