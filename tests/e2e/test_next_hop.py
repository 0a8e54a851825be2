"""What SMTP extensions say of a message reaches the next host, as far as it understands."""
import email

from sink import CLOSE

ALL = ("PIPELINING", "8BITMIME", "SIZE 100000000", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "MT-PRIORITY",
       "DELIVERBY")
IDN, A_LABELS = "bücher.test", "xn--bcher-kva.test"


def submit(world, mail, *rcpts, content=b"Subject: x\r\n\r\nx\r\n"):
    with world.connect() as c:
        c.hello()
        for command in (mail, *rcpts, "DATA"):
            words = c.command(command)
            assert words[0] in "23", words
        c.send(content + b".\r\n")
        assert c.reply().startswith("250")


def commands(sink):
    return [c for c in sink.commands if c.startswith(("MAIL", "RCPT"))]


def test_dsn_is_passed_on_to_a_host_that_knows_it(world):
    there = world.domain("there.test", extensions=ALL)
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> RET=HDRS ENVID=a+2Bb",
           "RCPT TO:<b@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@there.test")
    there.wait_message()
    mail, rcpt = commands(there)
    assert " RET=HDRS" in mail and " ENVID=a+2Bb" in mail
    assert rcpt == "RCPT TO:<b@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@there.test"


def test_dsn_is_not_passed_on_to_a_host_that_does_not(world):
    there = world.domain("there.test")
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> RET=HDRS ENVID=a", "RCPT TO:<b@there.test> NOTIFY=FAILURE")
    there.wait_message()
    mail, rcpt = commands(there)
    assert "RET" not in mail and "ENVID" not in mail and rcpt == "RCPT TO:<b@there.test>"


def test_a_domain_beyond_ascii_goes_as_a_labels(world):
    there = world.domain(A_LABELS)
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8", f"RCPT TO:<b@{IDN}>")
    there.wait_message()
    assert commands(there)[1] == f"RCPT TO:<b@{A_LABELS}>"


def test_an_address_beyond_ascii_goes_to_a_host_with_smtputf8(world):
    there = world.domain(A_LABELS, extensions=ALL)
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8", f"RCPT TO:<bö@{IDN}>")
    there.wait_message()
    mail, rcpt = commands(there)
    assert "SMTPUTF8" in mail and "bö@".encode() in rcpt.encode("latin-1")


def test_an_address_beyond_ascii_comes_back_from_a_host_without_smtputf8(world):
    world.domain("there.test")
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8", "RCPT TO:<bö@there.test>")
    notice = world.mailbox("alice").wait_message()
    assert b"5.6.7" in notice


def test_the_domain_of_a_sender_goes_as_a_labels_too(world):
    there = world.domain("there.test")
    world.start_relay()
    submit(world, f"MAIL FROM:<alice@{IDN}> SMTPUTF8", "RCPT TO:<b@there.test>")
    assert there.wait_message().sender == f"alice@{A_LABELS}"


def test_a_notice_about_utf8_mail_has_the_forms_of_rfc_6533(world):
    world.domain("there.test", extensions=ALL, rcpt="550 5.1.1 no such user")
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8 BODY=8BITMIME", "RCPT TO:<bö@there.test>",
           content="Subject: Grüße\r\n\r\nx\r\n".encode())
    notice = email.message_from_bytes(world.mailbox("alice").wait_message())
    words, status, original = notice.get_payload()
    assert notice.get_content_type() == "multipart/report" and notice["Auto-Submitted"] == "auto-replied"
    assert words["Content-Type"] == "text/plain; charset=utf-8"
    assert status.get_content_type() == "message/global-delivery-status"
    assert original.get_content_type() == "message/global-headers"
    assert "Final-Recipient: utf-8; bö@there.test".encode() in world.mailbox("alice").messages()[0]


def test_utf8_in_the_header_alone_needs_no_smtputf8(world):
    there = world.domain("there.test")
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8 BODY=8BITMIME", "RCPT TO:<b@there.test>",
           content="Subject: Grüße\r\n\r\nx\r\n".encode())
    assert "Subject: Grüße".encode() in there.wait_message().content


def test_what_the_first_host_lacks_the_second_may_have(world):
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    first = world.sink("mx1.there.test", extensions=["PIPELINING", "8BITMIME"])
    second = world.sink("mx2.there.test", extensions=ALL)
    world.start_relay()
    submit(world, "MAIL FROM:<alice@here.test> SMTPUTF8", "RCPT TO:<b@there.test>", "RCPT TO:<bö@there.test>")
    assert first.wait_message().recipients == ["b@there.test"]
    assert [r.encode("latin-1").decode() for r in second.wait_message().recipients] == ["bö@there.test"]
    world.wait_empty_queue()
    assert not world.log.has("bounced") and not world.log.has("deferred")


CHUNKING = ["PIPELINING", "8BITMIME", "CHUNKING"]
DOTS = b"Subject: x\r\n\r\n.\r\n..two\r\n"
AGAIN = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}


def send_dots(world, c, more=b""):
    c.begin("a@here.test", "b@there.test")
    c.send((DOTS + more).replace(b"\r\n.", b"\r\n..") + b".\r\n")
    assert c.reply().startswith("250")


def test_messages_go_by_bdat_where_it_is_offered(world):
    there = world.domain("there.test", extensions=CHUNKING)
    world.start_relay(spool={"big-body": "256K"})
    large = b"0123456789abcde\r\n" * 100_000
    with world.connect() as c:
        c.hello()
        send_dots(world, c)
        send_dots(world, c, large)
    small, big = sorted(there.wait(2), key=lambda m: len(m.content))
    assert small.chunk and small.content.endswith(DOTS)
    assert big.chunk and big.content.endswith(DOTS + large)
    assert not any(command == "DATA" for command in there.commands)


def test_a_host_that_does_not_know_bdat_after_all_gets_data_at_once(world):
    there = world.domain("there.test", extensions=CHUNKING, bdat="502 5.5.1 what")
    world.start_relay()
    with world.connect() as c:
        c.hello()
        send_dots(world, c)
    message = there.wait_message()
    assert not message.chunk and message.content.endswith(DOTS)
    assert there.attempts == 1 and world.log.has("bdat_refused")
    assert not world.log.has("deferred") and not world.log.has("bounced")


def test_a_host_that_breaks_at_bdat_gets_data_in_the_next_attempt(world):
    there = world.domain("there.test", extensions=CHUNKING, bdat=CLOSE)
    world.start_relay(retry=AGAIN)
    world.send("a@here.test", "b@there.test")
    assert not there.wait_message().chunk
    assert len(world.log.find("deferred")) == 1 and not world.log.has("bounced")


def test_bdat_can_be_switched_off_for_a_destination(world):
    there = world.domain("there.test", extensions=CHUNKING, bdat=CLOSE)
    world.start_relay(destinations=[{"domain": "there.test", "bdat": False}])
    world.send("a@here.test", "b@there.test")
    assert not there.wait_message().chunk
    assert not world.log.has("deferred")
