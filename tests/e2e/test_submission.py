"""Clients: real programs, strangers, and those that break the rules."""
import smtplib
import socket
import ssl
import subprocess

import pytest

from world import RawClient, wait_for

HELLO = b"From: a@here.test\r\nSubject: hello\r\n\r\nhello\r\n"


def without_checks():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def run(*command, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def received_of(message):
    """The first Received field, unfolded."""
    head = message.partition(b"\n\n")[0].replace(b"\n\t", b" ").replace(b"\n ", b" ")
    return next(line for line in head.split(b"\n") if line.startswith(b"Received:")).decode()


def test_smtplib_submits_on_every_port(world):
    world.start_relay()
    for port in (25, 2525):
        world.send("a@here.test", "alice@here.test", HELLO, port)
    with smtplib.SMTP_SSL("127.0.0.1", 465, context=without_checks()) as client:
        client.sendmail("a@here.test", ["alice@here.test"], HELLO)
    messages = world.mailbox("alice").wait(3)
    assert sum("with ESMTPS" in received_of(m) for m in messages) == 1
    world.wait_empty_queue()


def test_smtplib_starts_tls_and_the_received_field_says_so(world):
    world.start_relay()
    with smtplib.SMTP("127.0.0.1", 25) as client:
        client.starttls(context=without_checks())
        client.sendmail("a@here.test", ["alice@here.test"], HELLO)
        version, cipher = client.sock.version(), client.sock.cipher()[0]
    received = received_of(world.mailbox("alice").wait_message())
    assert "with ESMTPS" in received and version in received and cipher in received
    assert "for <alice@here.test>" in received
    assert version in world.log.wait("message_accepted")["tls"]


@pytest.mark.parametrize("port, options", [
    (25, ()), (2525, ("--tls",)), (465, ("--tls-on-connect",))])
def test_swaks_submits(world, port, options):
    world.start_relay()
    run("swaks", "--server", "127.0.0.1", "--port", str(port), *options, "--from", "a@here.test",
        "--to", "alice@here.test", "--header", "Subject: swaks")
    assert b"Subject: swaks" in world.mailbox("alice").wait_message()


@pytest.mark.parametrize("url", [
    "smtp://127.0.0.1:25", "smtp://127.0.0.1:2525", "smtps://127.0.0.1:465"])
def test_curl_submits(world, url):
    world.start_relay()
    letter = world.folder / "letter"
    letter.write_bytes(HELLO)
    run("curl", "-sS", "--insecure", url, "--mail-from", "a@here.test", "--mail-rcpt",
        "alice@here.test", "--mail-rcpt", "bob@here.test", "--upload-file", str(letter))
    assert b"Subject: hello" in world.mailbox("alice").wait_message()
    assert b"Subject: hello" in world.mailbox("bob").wait_message()


def test_curl_insists_on_tls(world):
    world.start_relay()
    letter = world.folder / "letter"
    letter.write_bytes(HELLO)
    run("curl", "-sS", "--insecure", "--ssl-reqd", "smtp://127.0.0.1:25", "--mail-from",
        "a@here.test", "--mail-rcpt", "alice@here.test", "--upload-file", str(letter))
    assert "with ESMTPS" in received_of(world.mailbox("alice").wait_message())


def test_many_messages_go_through_one_session(world):
    world.start_relay()
    with smtplib.SMTP("127.0.0.1", 2525) as client:
        for i in range(50):
            client.sendmail("a@here.test", ["alice@here.test"], HELLO + b"%d\r\n" % i)
    messages = world.mailbox("alice").wait(50)
    assert {int(m.split()[-1]) for m in messages} == set(range(50))


def test_a_pipelined_session_is_answered_in_order(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.send(b"MAIL FROM:<a@here.test>\r\nRCPT TO:<alice@here.test>\r\n"
               b"RCPT TO:<nobody@here.test>\r\nDATA\r\n")
        assert [c.reply()[:3] for _ in range(4)] == ["250", "250", "550", "354"]
        c.send(HELLO + b".\r\nMAIL FROM:<b@here.test>\r\nQUIT\r\n")
        assert [c.reply()[:3] for _ in range(3)] == ["250", "250", "221"]
    world.mailbox("alice").wait_message()


def test_strangers_do_not_relay(world):
    there = world.domain("there.test")
    world.start_relay()
    with world.connect(source="127.0.0.2") as c:
        c.hello()
        assert c.command("MAIL FROM:<x@elsewhere.test>").startswith("250")
        assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1")
        for trick in ("<b%there.test@here.test>", "<@here.test:b@there.test>", "<b@[198.51.100.10]>",
                      '<"b@there.test"@here.test>', "<there.test!b@here.test>", "<b@there.test.>"):
            assert c.command(f"RCPT TO:{trick}").startswith("5"), trick
        assert c.command("RCPT TO:<alice@here.test>").startswith("250")
    assert there.attempts == 0
    with world.connect(source="127.0.0.1") as c:
        c.hello()
        c.command("MAIL FROM:<x@elsewhere.test>")
        assert c.command("RCPT TO:<b@there.test>").startswith("250")


def test_a_listener_may_trust_more(world):
    there = world.domain("there.test")
    world.start_relay(listen=[{"address": "127.0.0.1:2525"},
                              {"address": "127.0.0.1:587", "trust": ["127.0.0.2/32"]}])
    with world.connect(2525, source="127.0.0.2") as c:
        c.hello()
        c.command("MAIL FROM:<x@here.test>")
        assert c.command("RCPT TO:<b@there.test>").startswith("554")
    with world.connect(587, source="127.0.0.2") as c:
        c.hello()
        c.begin("x@here.test", "b@there.test")
        c.send(HELLO + b".\r\n")
        assert c.reply().startswith("250")
    assert there.wait_message().recipients == ["b@there.test"]


def test_a_host_name_alone_makes_no_open_relay(world):
    world.domain("there.test")
    world.start_relay(trust=[], domains={}, mailboxes={}, maildir={})
    with world.connect(25) as c:
        c.hello()
        c.command("MAIL FROM:<x@here.test>")
        assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1")


def test_an_unknown_local_recipient_is_refused_at_once(world):
    world.start_relay()
    with world.connect(25, source="127.0.0.3") as c:
        c.hello()
        c.command("MAIL FROM:<x@there.test>")
        assert c.command("RCPT TO:<nobody@here.test>").startswith("550 5.1.1")
        assert c.command("RCPT TO:<ALICE@Here.TEST>").startswith("250")
        assert c.command("RCPT TO:<postmaster>").startswith("250")
        assert c.command("RCPT TO:<postmaster@here.test>").startswith("250")
    assert world.log.wait("message_refused", recipient="nobody@here.test")["client"] == "127.0.0.3"


SMUGGLED = (b"MAIL FROM:<evil@here.test>\r\nRCPT TO:<victim@there.test>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n")


@pytest.mark.parametrize("end", [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\n.\r",
    b"\r\r\n.\r\r\n", b"\n\r.\n\r"], ids=repr)
def test_nothing_is_smuggled(world, end):
    there = world.domain("there.test")
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "b@there.test")
        c.send(b"Subject: outer\r\n\r\nouter" + end + SMUGGLED)
        outer = c.reply()
        assert outer[:3] in ("250", "550"), outer
        if b"\0" not in end:
            assert outer.startswith("550 5.5.2")
        assert c.command("NOOP").startswith("250")  # in step: nothing else was answered
        assert c.command("QUIT").startswith("221")
    if outer.startswith("250"):
        assert there.wait_message().recipients == ["b@there.test"]
    world.wait_empty_queue()
    assert all(m.recipients != ["victim@there.test"] for m in there.messages)
    assert len(world.log.find("message_accepted")) == outer.startswith("250")


def test_a_bare_line_feed_is_refused_and_nothing_is_forwarded(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        c.send(b"Subject: x\r\n\r\none\ntwo\r\n.\r\n")
        assert c.reply().startswith("550 5.5.2")
        c.begin("a@here.test", "alice@here.test")
        c.send(HELLO + b".\r\n")
        assert c.reply().startswith("250")
    assert b"one" not in world.mailbox("alice").wait_message()


def test_a_bare_line_feed_in_a_command_is_refused(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.send(b"MAIL FROM:<a@here.test>\nRCPT TO:<alice@here.test>\r\n")
        assert c.reply().startswith("500 5.5.2")


def test_a_message_that_is_too_large_is_read_to_its_end(world):
    world.start_relay(limits={"message-size": "64K"})
    with world.connect() as c:
        assert "SIZE 65536" in c.hello()
        assert c.command("MAIL FROM:<a@here.test> SIZE=65537").startswith("552 5.3.4")
        c.begin("a@here.test", "alice@here.test")
        c.send(b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 5000 + b".\r\n")
        assert c.reply().startswith("552 5.3.4")
        c.begin("a@here.test", "alice@here.test")
        c.send(HELLO + b".\r\n")
        assert c.reply().startswith("250")
    assert len(world.mailbox("alice").wait()) == 1


def test_plain_text_behind_starttls_is_not_obeyed(world):
    world.start_relay()
    with world.connect(25) as c:
        c.hello()
        c.send(b"STARTTLS\r\nMAIL FROM:<injected@here.test>\r\n")
        words = c.reply()
        if words.startswith("220"):
            c.wrap()
            c.f = c.s.makefile("rb")
            assert c.command("RCPT TO:<alice@here.test>")[:3] == "503"
        else:
            assert words.startswith("5")


def test_one_client_gets_only_so_many_connections(world):
    world.start_relay(limits={"connections-per-client": 3})
    clients = [RawClient(source="127.0.0.9") for _ in range(3)]
    for c in clients:
        c.hello()
    with RawClient(source="127.0.0.9") as one_more:
        assert one_more.reply() == \
            "421 4.7.0 Too many connections from your network, close some first"
        assert one_more.reply() == ""
    with RawClient(source="127.0.0.10") as other:
        other.hello()
    world.log.wait("connection_refused", client="127.0.0.9")
    clients.pop().close()

    def welcome():
        with RawClient(source="127.0.0.9") as again:
            return again.reply().startswith("220")
    wait_for(welcome, "a place after one was given back")
    for c in clients:
        c.close()


def test_connections_are_limited_in_total(world):
    world.start_relay(limits={"connections": 4}, workers={"smtpd": 1})
    clients = [RawClient(source=f"127.0.0.{i + 10}") for i in range(4)]
    for c in clients:
        c.hello()
    with RawClient(source="127.0.0.99") as one_more:
        assert one_more.reply().startswith("421")
    for c in clients:
        c.close()


def test_an_idle_client_is_sent_away(world):
    world.start_relay(timeouts={"command": "1s"})
    with world.connect() as c:
        c.hello()
        assert c.reply().startswith("421 4.4.2")
        assert c.reply() == ""


def test_a_client_that_trickles_does_not_stay_forever(world):
    world.start_relay(timeouts={"message": "2s", "content": "60s"})
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        c.s.settimeout(0.2)

        def over():
            try:
                c.send(b"x\r\n")
                return c.s.recv(100)[:3] in (b"421", b"451", b"")
            except socket.timeout:
                return False
            except OSError:
                return True
        wait_for(over, "the end of patience")


def test_a_client_that_hangs_up_before_the_dot_leaves_nothing(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        c.send(HELLO)
    world.send("a@here.test", "alice@here.test", HELLO)
    assert len(world.mailbox("alice").wait()) == 1
    world.wait_empty_queue()
    assert len(world.log.find("message_accepted")) == 1
