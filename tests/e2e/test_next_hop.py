"""What SMTP extensions say of a message reaches the next host, as far as it understands."""
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
