"""TLS with remote servers."""
import re
import ssl
import subprocess

import pytest

from world import make_certificate, wait_for


def test_starttls_is_used_when_offered_and_the_log_says_so(world):
    there = world.domain("there.test", starttls=True)
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    message = there.wait_message()
    assert message.tls == "TLSv1.3"
    assert "TLSv1.3" in world.log.wait("delivered", recipient="b@there.test")["tls"]
    assert sum(c.startswith("EHLO") for c in there.commands) == 2


@pytest.mark.parametrize("sender, event", [("a@here.test", "bounced"), ("", "failed")])
def test_the_log_tells_of_tls_also_when_mail_is_given_up(world, sender, event):
    there = world.domain("there.test", starttls=True)
    there.says["rcpt"] = "550 5.1.1 no such user"
    world.start_relay()
    world.send(sender, "b@there.test")
    line = world.log.wait(event, recipient="b@there.test")
    assert "TLSv1.3" in line["tls"] and "by default opportunistic" in line["tls"]


def test_older_tls_is_good_enough(world):
    there = world.domain("there.test", starttls=True)
    there.context.maximum_version = ssl.TLSVersion.TLSv1_2
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert there.wait_message().tls == "TLSv1.2"


@pytest.mark.parametrize("starttls, words", [
    ("break", "failed before"), ("ask", "failed before"), ("454 4.7.0 not now", "is refused")])
def test_falls_back_to_plain_text_when_the_handshake_fails(world, starttls, words):
    there = world.domain("there.test", starttls=starttls)
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert there.wait_message().tls == ""
    assert world.log.wait("delivered")["tls"] == f"plain text (STARTTLS {words}), by default opportunistic"
    assert not world.log.has("deferred")


def test_a_broken_starttls_is_remembered(world):
    there = world.domain("there.test", starttls="break")
    world.start_relay(timeouts={"idle-connection": "1s"})
    for i in range(3):
        world.send("a@here.test", "b@there.test")
        there.wait(i + 1)
        there.wait_until(lambda: there.open == 0)
    assert there.commands.count("STARTTLS") == 1


def two_hosts(world, first, second):
    """A domain with two mail hosts, of which the second is for bad times."""
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    return world.sink("mx1.there.test", **first), world.sink("mx2.there.test", **second)


@pytest.mark.parametrize("backup", [
    {"rcpt": "550 5.1.1 who"}, {"rcpt": "451 4.3.0 later"}, {"greet": "421 4.3.2 not now"}, {"starttls": True}, {}, None])
def test_a_host_whose_tls_is_broken_gets_plain_text_before_another_is_asked(world, backup):
    """So what a host that comes second thinks of the mail decides nothing."""
    first, second = two_hosts(world, {"starttls": "break"}, backup or {})
    if backup is None:
        second.close()
    world.start_relay(timeouts={"idle-connection": "1s"})
    for i in range(2):
        world.send("a@here.test", ["b@there.test", "c@there.test"])
        first.wait(i + 1)
        first.wait_until(lambda: first.open == 0)
    assert all(message.tls == "" and len(message.recipients) == 2 for message in first.messages)
    assert first.commands.count("STARTTLS") == 1  # remembered
    assert second.attempts == 0
    assert not world.log.has("deferred") and not world.log.has("failed")


def test_a_host_that_is_broken_does_not_cost_the_others_their_tls(world):
    first, second = two_hosts(world, {"starttls": "break"}, {"starttls": True})
    world.start_relay(timeouts={"idle-connection": "1s"})
    world.send("a@here.test", "b@there.test")
    assert first.wait_message().tls == ""
    first.wait_until(lambda: first.open == 0)
    first.says["greet"] = "421 4.3.2 not now"
    world.send("a@here.test", "b@there.test")
    assert second.wait_message().tls == "TLSv1.3"
    assert len(first.messages) == 1


WANTS_TLS = {"mail": "530 5.7.0 Must issue a STARTTLS command first", "rcpt": "550 5.7.1 encryption needed",
             "data": "554 must use TLS"}


@pytest.mark.parametrize("step", WANTS_TLS)
def test_a_host_that_takes_no_plain_text_leaves_the_mail_to_the_next(world, step):
    first, second = two_hosts(world, {"starttls": "break", step: WANTS_TLS[step]}, {"starttls": True})
    world.start_relay()
    world.send("a@here.test", ["b@there.test", "c@there.test"])
    message = second.wait_message()
    assert message.tls == "TLSv1.3" and len(message.recipients) == 2
    assert first.messages == []
    assert not world.log.has("deferred") and not world.log.has("failed")


def test_each_recipient_goes_once_to_the_host_that_takes_it(world):
    first, second = two_hosts(
        world, {"starttls": "break", "rcpt": {"c@there.test": WANTS_TLS["rcpt"], "d@there.test": "550 5.1.1 who"}},
        {"starttls": True})
    world.start_relay()
    world.send("bob@here.test", [x + "@there.test" for x in "bcd"])
    assert first.wait_message().recipients == ["b@there.test"]
    assert second.wait_message().recipients == ["c@there.test"]
    assert b"d@there.test" in world.mailbox("bob").wait_message()
    assert len(first.messages) == len(second.messages) == 1
    assert not world.log.has("deferred")


def test_a_refusal_for_want_of_tls_costs_the_message_alone(world):
    """It is tried again, and other mail is not held up, though the other host cannot be reached."""
    first, second = two_hosts(world, {"starttls": "break", "rcpt": {"c@there.test": WANTS_TLS["rcpt"]}}, {})
    second.close()
    world.start_relay()
    world.send("a@here.test", "c@there.test")
    assert world.log.wait("deferred", recipient="c@there.test")
    assert "breaker closed" in world.tern("destinations", "there.test").stdout
    world.send("a@here.test", "b@there.test")
    assert first.wait_message().recipients == ["b@there.test"]


@pytest.mark.parametrize("backup", [{"starttls": True}, {"greet": "421 4.3.2 not now"}, {"rcpt": "550 5.1.1 who"}])
def test_where_tls_is_needed_nothing_goes_in_plain_text(world, backup):
    first, second = world.sink("one.test", starttls="break"), world.sink("two.test", **backup)
    world.start_relay(routes=[{"domain": "there.test", "via": ["smtp://one.test", "smtp://two.test"],
                               "tls": "encrypt"}])
    world.send("a@here.test", "b@there.test")
    if "starttls" in backup:
        assert second.wait_message().tls == "TLSv1.3"
    else:
        assert world.log.wait("deferred", recipient="b@there.test")
    assert not world.log.has("failed")
    assert not any(c.startswith("MAIL") for c in first.commands)
    assert second.messages == [] or second.messages[0].tls


def test_text_that_comes_with_the_answer_to_starttls_is_not_believed(world):
    there = world.domain("there.test", starttls="220 go\r\n250 injected")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert "STARTTLS" in world.wait_deferred()["reason"]
    assert there.messages == [] and not any(c.startswith("MAIL") for c in there.commands)


def test_a_route_can_do_without_tls(world):
    there = world.sink("there.test", starttls=True)
    world.start_relay(routes=[{"domain": "there.test", "via": "smtp://there.test", "tls": "none"}])
    world.send("a@here.test", "b@there.test")
    assert there.wait_message().tls == ""
    assert re.fullmatch(r"plain text, by none at \S*tern.yaml:\d+",
                        world.log.wait("delivered")["tls"])


def test_a_route_can_require_tls(world):
    there = world.sink("there.test")
    world.start_relay(
        routes=[{"domain": "there.test", "via": "smtp://there.test", "tls": "verify"}])
    world.send("a@here.test", "b@there.test")
    row = world.wait_deferred()
    assert "TLS" in row["reason"]
    assert re.fullmatch(r"plain text \(STARTTLS is not offered\), by verify at \S*tern.yaml:\d+",
                        row["rcpts"][0]["last"]["tls"])
    assert "STARTTLS is not offered" in world.tern("queue", "show", row["id"]).stdout
    assert there.messages == []


def test_a_host_that_refuses_required_tls_is_told_of_with_the_policy(world):
    world.sink("there.test", starttls="454 4.7.0 not now")
    world.start_relay(
        routes=[{"domain": "there.test", "via": "smtp://there.test", "tls": "verify"}])
    world.send("a@here.test", "b@there.test")
    assert re.fullmatch(r"plain text \(STARTTLS is refused\), by verify at \S*tern.yaml:\d+",
                        world.wait_deferred()["rcpts"][0]["last"]["tls"])


def test_required_tls_wants_a_certificate_that_fits(world):
    trusted = make_certificate(world.folder, "smart.test")
    world.sink("other.test", starttls=True, certificate=trusted)
    there = world.sink("smart.test", starttls=True, certificate=trusted)
    world.start_relay(tls={"trust-anchors": str(trusted[0])}, routes=[
        {"domain": "good.test", "via": "smtp://smart.test", "tls": "verify"},
        {"domain": "bad.test", "via": "smtp://other.test", "tls": "verify"}])
    world.send("a@here.test", ["b@good.test", "b@bad.test"])
    assert there.wait_message().tls != ""
    assert "certificate" in world.wait_deferred()["reason"].lower()


@pytest.mark.parametrize("what", ["expired", "unknown", "another name"])
def test_a_certificate_that_proves_nothing_is_as_good_as_none(world, what):
    """Where TLS is opportunistic it serves; where it is to be verified, the mail waits."""
    shown = make_certificate(world.folder, "else.test" if what == "another name" else "smart.test")
    anchors = make_certificate(world.folder, "root.test") if what == "unknown" else shown
    if what == "expired":
        subprocess.run(["openssl", "x509", "-in", shown[0], "-signkey", shown[1], "-days", "-1", "-out", shown[0]],
                       check=True, capture_output=True)
    there = world.sink("smart.test", starttls=True, certificate=shown)
    world.dns.mx("open.test", (10, "smart.test"))
    world.start_relay(tls={"trust-anchors": str(anchors[0])},
                      routes=[{"domain": "safe.test", "via": "smtp://smart.test", "tls": "verify"}])
    world.send("a@here.test", ["b@open.test", "b@safe.test"])
    assert there.wait_message().tls == "TLSv1.3"
    assert "certificate not verified" in world.log.wait("delivered", recipient="b@open.test")["tls"]
    last = world.wait_deferred("--domain", "safe.test")["rcpts"][0]["last"]
    assert last["class"] == "deferred" and last["enhanced"] == "4.7.5", last
    assert re.fullmatch(r"TLS failed, by verify at \S*tern.yaml:\d+", last["tls"])
    assert world.log.wait("deferred", recipient="b@safe.test")["tls"] == last["tls"]
    assert len(there.messages) == 1


def test_a_smarthost_may_speak_tls_from_the_first_byte(world):
    trusted = make_certificate(world.folder, "smart.test")
    smart = world.sink("smart.test", port=465, implicit_tls=True, certificate=trusted)
    world.start_relay(tls={"trust-anchors": str(trusted[0])}, routes=[
        {"domain": "*", "via": "smtps://smart.test", "tls": "verify"}])
    world.send("a@here.test", "b@there.test")
    assert smart.wait_message().tls == "TLSv1.3"


def test_both_directions_show_in_the_header_of_a_relayed_message(world):
    there = world.domain("there.test", starttls=True)
    world.start_relay()
    with world.connect(465, tls=True) as c:
        c.hello()
        c.begin("a@here.test", "b@there.test")
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert c.reply().startswith("250")
    head = there.wait_message().content.partition(b"\r\n\r\n")[0]
    assert b"with ESMTPS" in head and b"TLSv1.3" in head
    wait_for(lambda: "TLSv1.3" in world.log.wait("delivered")["tls"], "TLS in the log")


def send_after_close(world, there, recipient, count):
    """The message, over a connection of its own."""
    there.wait_until(lambda: there.open == 0)
    world.send("a@here.test", recipient)
    return there.wait(count)[-1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_and_the_log_says_so(world, version):
    there = world.domain("there.test", starttls=True)
    there.context.maximum_version = version
    world.start_relay(timeouts={"idle-connection": "1s"})
    assert not send_after_close(world, there, "b@there.test", 1).resumed
    assert send_after_close(world, there, "c@there.test", 2).resumed
    assert send_after_close(world, there, "d@there.test", 3).resumed
    assert "resumed" not in world.log.wait("delivered", recipient="b@there.test")["tls"]
    assert ", resumed, certificate not verified" in world.log.wait(
        "delivered", recipient="c@there.test")["tls"]


def test_an_unverified_session_does_not_serve_a_route_that_verifies(world):
    there = world.domain("there.test", starttls=True)
    world.start_relay(timeouts={"idle-connection": "1s"}, routes=[
        {"domain": "strict.test", "via": "smtp://mx.there.test", "tls": "verify"}])
    send_after_close(world, there, "b@there.test", 1)
    there.wait_until(lambda: there.open == 0)
    world.send("a@here.test", "b@strict.test")
    assert "certificate" in world.wait_deferred()["reason"].lower()
    assert send_after_close(world, there, "c@there.test", 2).resumed


def test_a_handshake_that_fails_when_resuming_is_tried_in_full(world):
    trusted = make_certificate(world.folder, "smart.test")
    there = world.sink("smart.test", starttls=["220 go", "break", "220 go"], certificate=trusted)
    world.start_relay(tls={"trust-anchors": str(trusted[0])}, timeouts={"idle-connection": "1s"},
                      routes=[{"domain": "*", "via": "smtp://smart.test", "tls": "verify"}])
    send_after_close(world, there, "b@there.test", 1)
    message = send_after_close(world, there, "c@there.test", 2)
    assert message.tls and not message.resumed and message.connection == 3
    assert not world.log.has("deferred")


def test_a_route_has_authorities_of_its_own(world):
    """Only that route's: the others believe those of all."""
    private, general = (make_certificate(world.folder, n + ".test") for n in ("private", "general"))
    hosts = {n: world.sink(n + ".test", starttls=True, certificate=c)
             for n, c in (("private", private), ("general", general))}
    world.start_relay(tls={"trust-anchors": str(general[0])}, routes=[
        {"name": n, "domain": d + ".test", "via": f"smtp://{host}.test", "tls": "verify", **ca}
        for n, d, host, ca in (
            ("one", "a", "private", {"ca": str(private[0])}), ("two", "b", "general", {}),
            ("three", "c", "private", {}), ("four", "d", "general", {"ca": str(private[0])}))])
    world.send("a@here.test", ["x@a.test", "x@b.test"])
    assert hosts["private"].wait_message().recipients == ["x@a.test"]
    assert hosts["general"].wait_message().recipients == ["x@b.test"]
    assert ", certificate verified, by verify at " in world.log.wait(
        "delivered", recipient="x@a.test")["tls"]
    for recipient in ("x@c.test", "x@d.test"):
        world.send("a@here.test", recipient)
        assert "TLS certificate" in world.log.wait("deferred", recipient=recipient)["reason"]


@pytest.mark.parametrize("text, words", [
    (None, "cannot be read: No such file or directory"),
    ("hello\n", "there is no trust anchor in the file (PEM is expected)")])
def test_authorities_that_are_none_stop_the_start(world, text, words):
    path = world.folder / "ca.pem"
    if text is not None:
        path.write_text(text)
    world.configure(routes=[{"domain": "a.test", "via": "smtp://a.test", "tls": "verify",
                             "ca": str(path)}])
    status, said = world.start_in_vain()
    assert status != 0
    assert re.search(rf"the route at \S*tern.yaml:\d+: {path}:? {re.escape(words)}", said), said


def send_requiring_tls(world, recipient, sender="bob@here.test"):
    with world.connect(465, tls=True) as c:
        c.hello()
        assert c.command(f"MAIL FROM:<{sender}> REQUIRETLS").startswith("250")
        assert c.command(f"RCPT TO:<{recipient}>").startswith("250")
        assert c.command("DATA").startswith("354")
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert c.reply().startswith("250")


def test_a_notice_of_a_message_that_requires_tls_asks_for_the_same(world):
    """RFC 8689, 5: of every host that promises it; and it is not lost where none does."""
    good = world.domain("good.test", starttls=True, extensions=["PIPELINING", "REQUIRETLS"])
    plain = world.domain("plain.test")
    world.start_relay(routes=[{"domain": "there.test", "via": "550 5.7.1 no"}])
    for domain in ("good.test", "plain.test"):
        send_requiring_tls(world, "b@there.test", "bob@" + domain)
    for there in (good, plain):
        message = there.wait_message()
        assert message.sender == "" and ("REQUIRETLS" in message.sender_params.split()) == (there is good)
        assert b"Status: 5.7.1" in message.content


def test_a_message_that_requires_tls_goes_where_that_is_promised(world):
    """RFC 8689: over verified TLS, to a host that offers REQUIRETLS under it, and asking the same of it."""
    trusted = make_certificate(world.folder, "mx.good.test", "mx.silent.test")
    good = world.domain("good.test", starttls=True, certificate=trusted,
                        extensions=["PIPELINING", "REQUIRETLS"])
    silent = world.domain("silent.test", starttls=True, certificate=trusted)
    plain = world.domain("plain.test", extensions=["REQUIRETLS"])
    world.start_relay(tls={"trust-anchors": str(trusted[0])})
    send_requiring_tls(world, "b@good.test")
    message = good.wait_message()
    assert message.tls == "TLSv1.3" and message.sender_params.split() == ["REQUIRETLS"]
    assert world.log.wait("delivered", recipient="b@good.test")["tls"].endswith(
        "certificate verified, by REQUIRETLS")
    send_requiring_tls(world, "b@silent.test")
    assert b"5.7.30" in world.mailbox("bob").wait_message()
    send_requiring_tls(world, "b@plain.test")
    assert "TLS is required" in world.log.wait("deferred", recipient="b@plain.test")["reason"]
    world.send("bob@here.test", ["b@silent.test", "b@plain.test"])  # without it both are good enough
    for there in (silent, plain):
        assert "REQUIRETLS" not in there.wait_message().sender_params
