"""Whatever EHLO announces works as its RFC says; and nothing smuggles a message in or out."""
import base64
import re
import ssl

import pytest

import test_login
from test_bounces import read_report
from test_postfix import postfix, wait_mail  # noqa: F401 (a fixture)
from world import wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}
# As for submission, but for who is trusted.
SUBMISSION = {"address": "127.0.0.1:587", "role": "submission", "tls": "offered", "relay": "networks"}
LETTER = b"Subject: hello\r\n\r\nhello\r\n"


def say(client, *lines):
    for line in lines:
        words = client.command(line)
        assert words.startswith("2"), (line, words)
    return words


def chunk(client, content, last=False):
    client.send(b"BDAT %d%s\r\n%s" % (len(content), b" LAST" if last else b"", content))
    return client.reply()


def submit(client, content=LETTER, sender="a@here.test", recipient="alice@here.test", mail="", rcpt=""):
    say(client, f"MAIL FROM:<{sender}> {mail}".strip(), f"RCPT TO:<{recipient}> {rcpt}".strip())
    assert client.command("DATA").startswith("354")
    client.send(content + b".\r\n")
    words = client.reply()
    assert words.startswith("250"), words
    return re.search(r"\b[0-9a-f]{16}\b", words)[0]


def pipelining(world, client, _):
    begin = b"MAIL FROM:<a@here.test>\r\nRCPT TO:<nobody@here.test>\r\nRCPT TO:<alice@here.test>\r\n"
    client.send(begin + b"RSET\r\nNOOP\r\n" + begin + b"DATA\r\n")
    assert [client.reply()[:3] for _ in range(9)] == [
        "250", "550", "250", "250", "250", "250", "550", "250", "354"]
    client.send(LETTER + b".\r\n" + begin + b"DATA\r\n")
    assert [client.reply()[:3] for _ in range(5)] == ["250", "250", "550", "250", "354"]
    client.send(LETTER + b".\r\n")
    assert client.reply().startswith("250")
    world.mailbox("alice").wait(2)


def size(world, client, words):
    most = int(words)
    assert client.command(f"MAIL FROM:<a@here.test> SIZE={most + 1}").startswith("552 5.3.4")
    assert client.command("MAIL FROM:<a@here.test> SIZE=x").startswith("501 5.5.4")
    say(client, f"MAIL FROM:<a@here.test> SIZE={most}", "RCPT TO:<alice@here.test>")
    assert client.command("DATA").startswith("354")
    lines = b"0123456789abcde\r\n" * (most // 17 + 1)
    client.send(lines + b".\r\n")  # what was said before binds nobody
    assert client.reply().startswith("552 5.3.4")
    submit(client, lines[-1700:], mail="SIZE=1700")


def eight_bit(world, client, _):
    submit(client, "Subject: ü\r\n\r\nü\r\n".encode(), mail="BODY=8BITMIME")
    assert world.mailbox("alice").wait_message().endswith("\n\nü\n".encode())


def enhanced(world, client, _):
    for line, code in (("NOOP", "250 2.0.0"), ("RCPT TO:<x>", "503 5.5.1"), ("HELP", "214 2.0.0")):
        assert client.command(line).startswith(code)


def chunking(world, client, _):
    say(client, "MAIL FROM:<a@here.test>", "RCPT TO:<alice@here.test>")
    assert chunk(client, b"Subject: x\r").startswith("250 2.0.0")
    assert chunk(client, b"\n\r\n.\r\n..\r\nend", last=True).startswith("250 2.0.0")
    assert world.mailbox("alice").wait_message().endswith(b"Subject: x\n\n.\n..\nend\n")


def dsn(world, client, _):
    world.domain("there.test")
    submit(client, sender="bob@here.test", mail="ENVID=one+20two", rcpt="NOTIFY=SUCCESS ORCPT=rfc822;A+2BB@x.test")
    message, (whole, rcpt), _ = read_report(world.mailbox("bob").wait_message())
    assert whole["Original-Envelope-Id"] == "one two" and rcpt["Action"] == "delivered"
    assert rcpt["Original-Recipient"] == "rfc822; A+B@x.test"
    submit(client, sender="bob@here.test", recipient="b@there.test", rcpt="NOTIFY=SUCCESS")
    actions = {read_report(m)[1][1]["Action"] for m in world.mailbox("bob").wait(2)}
    assert actions == {"delivered", "relayed"}


def smtputf8(world, client, _):
    there = world.domain("there.test", extensions=["8BITMIME", "SMTPUTF8"])
    submit(client, sender="ä@here.test", recipient="李@there.test", mail="SMTPUTF8")
    message = there.wait_message()
    assert message.recipients == ["李@there.test".encode().decode("latin-1")]
    assert "SMTPUTF8" in message.sender_params and b"with UTF8SMTPS" in message.content


def requiretls(world, client, _):
    there = world.domain("there.test", starttls=True)
    submit(client, sender="bob@here.test", recipient="b@there.test", mail="REQUIRETLS RET=FULL")
    _, (_, rcpt), original = read_report(world.mailbox("bob").wait_message())
    assert rcpt["Action"] == "failed" and original.get_content_type() == "text/rfc822-headers"
    assert there.messages == []


def limits(world, client, words):
    most = int(re.fullmatch("RCPTMAX=(\\d+)", words)[1])
    say(client, "MAIL FROM:<a@here.test>",
        *(f"RCPT TO:<r{i}@there.test>" for i in range(most)))
    assert client.command("RCPT TO:<more@there.test>").startswith("452 4.5.3")


def deliverby(world, client, _):
    world.domain("there.test", rcpt="450 4.2.0 later")
    submit(client, sender="bob@here.test", recipient="b@there.test", mail="BY=1;R")
    _, (_, rcpt), _ = read_report(world.mailbox("bob").wait_message())
    assert rcpt["Action"] == "failed" and rcpt["Final-Recipient"] == "rfc822; b@there.test"


def futurerelease(world, client, words):
    assert re.fullmatch(r"2592000 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", words)
    message = submit(client, mail="HOLDFOR=86400")
    world.wait_queue(lambda rows: [row["id"] for row in rows] == [message])
    assert world.mailbox("alice").messages() == []
    world.tern("queue", "retry", message)
    world.mailbox("alice").wait_message()


def priority(world, client, _):
    there = world.domain("there.test", extensions=["MT-PRIORITY"])
    submit(client, recipient="b@there.test", mail="MT-PRIORITY=-3")
    assert "MT-PRIORITY=-3" in there.wait_message().sender_params


def starttls(world, client, _):
    say(client, "MAIL FROM:<a@here.test>", "RSET")
    client.start_tls()
    assert client.command("MAIL FROM:<a@here.test>").startswith("503")  # nothing of before is known
    assert "STARTTLS" not in client.command("EHLO client.test")
    submit(client)
    assert b"with ESMTPS" in world.mailbox("alice").wait_message()


def auth(world, client, words):
    """Each mechanism that is offered logs a client in; RFC 4954, 4 of the rest."""
    assert words == ""  # not in plain text
    assert client.command(test_login.plain("alice@here.test")).startswith("538 5.7.11")
    logins = {"PLAIN": lambda c: c.command(test_login.plain("alice@here.test")),
              "LOGIN": log_in_by_login, "SCRAM-SHA-256": lambda c: test_login.Scram(c).run("alice@here.test"),
              "SCRAM-SHA-256-PLUS": None}  # see test_login: Python has no data to bind to with TLS 1.3
    with test_login.under_tls(world) as c:
        offer = parse_offer(c.command("EHLO client.test"))["AUTH"].split()
    assert set(offer) == set(logins)
    for mechanism in offer:
        if logins[mechanism] is None:
            continue
        with test_login.under_tls(world) as c:
            assert c.command("AUTH PLAIN").startswith("334")
            assert c.command("*").startswith("501 5.0.0")
            assert c.command("AUTH PLAIN =").startswith("535 5.7.8")
            assert c.command("AUTH PLAIN !").startswith("501 5.5.2")
            assert c.command("AUTH NONSENSE").startswith("504 5.5.4")
            assert c.command("AUTH PLAIN " + "A" * 12276).startswith("535 5.7.8")  # 12288 octets
            assert c.command("AUTH PLAIN " + "A" * 12280).startswith("500 5.5.2")
            assert logins[mechanism](c).startswith("235 2.7.0")
            assert "AUTH" not in parse_offer(c.command("EHLO client.test"))
            assert c.command(test_login.plain("alice@here.test")).startswith("503 5.5.1")
            submit(c, sender="alice@here.test", mail="AUTH=<>")
            say(c, "MAIL FROM:<alice@here.test> AUTH=a+2Bb@x.test")
            assert c.command("AUTH PLAIN =").startswith("503 5.5.1")


def log_in_by_login(client):
    assert client.command("AUTH LOGIN").startswith("334")
    words = client.command(base64.b64encode(b"alice@here.test").decode())
    assert words.startswith("334"), words
    return client.command(base64.b64encode(test_login.PASSWORD.encode()).decode())


PROOFS = {
    "PIPELINING": pipelining, "SIZE": size, "8BITMIME": eight_bit, "ENHANCEDSTATUSCODES": enhanced,
    "CHUNKING": chunking, "DSN": dsn, "SMTPUTF8": smtputf8, "REQUIRETLS": requiretls, "LIMITS": limits,
    "DELIVERBY": deliverby, "FUTURERELEASE": futurerelease, "MT-PRIORITY": priority,
    "STARTTLS": starttls, "AUTH": auth,
}


def parse_offer(words):
    return dict((line[4:].split(" ", 1) + [""])[:2] for line in words.split("\n")[1:])


def start(world, **retry):
    certificate, key = world.certificates
    world.start_relay(tls={"certificate": str(certificate), "key": str(key)}, retry=QUICK | retry,
                      limits={"recipients": 100}, listen=[*world.settings["listen"], SUBMISSION])


@pytest.mark.parametrize("keyword", PROOFS)
def test_what_is_announced_works(world, keyword):
    # The host's certificate is nobody's: what requires TLS waits for it in vain.
    if keyword == "AUTH":
        test_login.start(world, **test_login.MANY_TRIES)
    else:
        start(world, **({"lifetime": "2s"} if keyword == "REQUIRETLS" else {}))
    with world.connect(587 if keyword == "FUTURERELEASE" else 2525) as client:
        offer = parse_offer(client.hello())
        if keyword == "REQUIRETLS":
            assert keyword not in offer
            client.start_tls()
            offer = parse_offer(client.command("EHLO client.test"))
        elif keyword == "SMTPUTF8":
            client.start_tls()
            client.command("EHLO client.test")
        assert set(offer) <= set(PROOFS), "announced without a proof"
        assert keyword in offer or keyword == "AUTH"
        PROOFS[keyword](world, client, offer.get(keyword, ""))
        client.command("QUIT")


def test_mail_waits_only_for_whom_submits(world):
    """RFC 4865, 1: not for other servers, also where they may relay."""
    start(world)
    with world.connect() as client:
        assert "FUTURERELEASE" not in parse_offer(client.hello())
        assert client.command("MAIL FROM:<a@here.test> HOLDFOR=60").startswith("555 5.5.4")


def test_the_end_of_tls_within_a_chunk_is_the_end(world):
    """What comes in plain text afterwards is neither the rest of the chunk nor a command."""
    start(world)
    with world.connect() as client:
        client.hello()
        client.start_tls()
        say(client, "EHLO client.test", "MAIL FROM:<a@here.test>", "RCPT TO:<alice@here.test>")
        client.send(b"BDAT 20 LAST\r\nSubject: x")
        try:
            plain = client.s.unwrap()
            plain.sendall(b"0123456\r\nNOOP\r\n")
            heard = plain.recv(100)
        except (ssl.SSLError, ConnectionError):
            heard = b""
        assert heard == b""
    world.log.wait("session_closed", reason="lost within a transaction")
    assert world.queue() == [] and world.mailbox("alice").messages() == []


# Everything that some server takes, or took, for the end of a message.
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\r\r\n.\r\r\n",
        b"\r\r\n.\r\n", b"\n\n.\n\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\n\r.\n\r", b"\r\n.\r\r\n",
        b"\x85.\x85", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\x0b.\x0b"]
INSIDE = (b"MAIL FROM:<evil@here.test>\r\nRCPT TO:<b@there.test>\r\nDATA\r\n"
          b"Subject: smuggled\r\n\r\nsmuggled\r\n")


def is_bare(end):
    return re.search(rb"\r(?!\n)|(?<!\r)\n", end) is not None


def test_nothing_is_smuggled_in_or_on_to_postfix(world, postfix):  # noqa: F811
    start(world)
    accepted = 0
    for way in ("DATA", "BDAT"):
        for i, end in enumerate(ENDS + [b"\r\n.\r\n"]):
            if way == "DATA" and b"\r\n.\r\n" in end:
                continue  # this one is the end, for everybody
            content = b"Subject: %s %d\r\n\r\nbefore%b%bafter\r\n" % (way.encode(), i, end, INSIDE)
            with world.connect() as client:
                client.hello()
                if way == "DATA":
                    client.begin("a@here.test", "b@there.test")
                    client.send(content + b".\r\n")
                    words = client.reply()
                else:
                    say(client, "MAIL FROM:<a@here.test>", "RCPT TO:<b@there.test>")
                    words = chunk(client, content, last=True)
                wanted = "550 5.5.2" if is_bare(end) else "550 5.6.0" if b"\0" in end else "250 2.0.0"
                assert words.startswith(wanted), (end, words)
                accepted += wanted.startswith("250")
                # One command, one answer.
                assert client.command("NOOP") == "250 2.0.0 Ok"
                assert client.command("QUIT").startswith("221")
    world.wait_empty_queue()
    stored = wait_mail(postfix, "b", accepted)
    assert len(stored) == accepted
    for message in stored:
        assert message.startswith(b"Return-Path: <a@here.test>") and message.endswith(b"after\n")
        assert b"\n\nbefore" in message and message.count(b"Subject: smuggled") == 1


@pytest.mark.parametrize("body_bytes", [100, 3 << 20], ids=["small", "big"])
def test_as_many_recipients_as_are_announced(world, body_bytes):
    """RFC 9422, 3: RCPTMAX holds for recipients with all parameters; small, and with a body in a file."""
    there = world.domain("there.test")
    world.start_relay()
    body = b"Subject: many\r\n\r\n" + b"x" * 68 + b"\r\n" * (body_bytes // 2)
    with world.connect() as client:
        most = int(re.search(r"RCPTMAX=(\d+)", client.hello())[1])
        say(client, "MAIL FROM:<a@here.test> RET=HDRS ENVID=many")
        for n in range(most):
            address = f"recipient-{n:04}-{'x' * 40}@there.test"
            say(client, f"RCPT TO:<{address}> NOTIFY=FAILURE,DELAY ORCPT=rfc822;{address}")
        assert client.command("RCPT TO:<more@there.test>").startswith("452 4.5.3")
        assert client.command("DATA").startswith("354")
        client.send(body + b".\r\n")
        assert client.reply().startswith("250 2.0.0")
    wait_for(lambda: sum(len(m.recipients) for m in there.messages) >= most, "all of them")
    assert len({r for m in there.messages for r in m.recipients}) == most
    assert all(m.content.endswith(body[-1000:]) for m in there.messages)
    world.wait_empty_queue()
