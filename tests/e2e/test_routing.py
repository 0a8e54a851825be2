"""Where mail goes: MX records in good and bad shape, routes, loops."""
import json
import random
import smtplib

import pytest

import namespace
import test_login as login
from test_explain import WORDS, explain
from sink import CLOSE, SILENT
from world import wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}


def test_mail_goes_to_the_mx_host(world):
    there = world.domain("there.test")
    world.start_relay()
    content = b"From: a@here.test\r\nSubject: x\r\n\r\nhello\r\n..two dots\r\n"
    world.send("a@here.test", "b@there.test", content)
    message = there.wait_message()
    assert message.sender == "a@here.test" and message.recipients == ["b@there.test"]
    assert message.helo == world.settings["hostname"]
    head, _, body = message.content.partition(b"\r\n\r\n")
    assert head.startswith(b"Received: from client.test") and body == b"hello\r\n..two dots\r\n"
    line = world.log.wait("delivered", recipient="b@there.test")
    assert "mx.there.test" in line["host"] and line["code"] == "250" and line["attempts"] == "1"
    world.wait_empty_queue()


def test_falls_back_to_the_second_mx_when_the_first_is_busy(world):
    world.dns.mx("there.test", (20, "mx2.there.test"), (10, "mx1.there.test"))
    first = world.sink("mx1.there.test", greet="421 4.3.2 busy")
    second = world.sink("mx2.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert second.wait_message().recipients == ["b@there.test"]
    assert first.attempts == 1


@pytest.mark.parametrize("manners", [
    {"greet": "554 5.3.2 no service"}, {"greet": CLOSE}, {"greet": "garbage"},
    {"ehlo": "421 4.3.2 closing"}, {"mail": "421 4.3.2 closing"}, {"data": CLOSE},
    {"rcpt": CLOSE}], ids=str)
def test_a_mail_host_in_trouble_is_passed_over(world, manners):
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    world.sink("mx1.there.test", **manners)
    second = world.sink("mx2.there.test")
    world.start_relay(retry=QUICK)
    world.send("a@here.test", "b@there.test")
    second.wait_message()
    world.wait_empty_queue()
    assert len(second.messages) == 1


def test_falls_back_when_the_first_mx_refuses_connections(world):
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    world.host("mx1.there.test")
    second = world.sink("mx2.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    second.wait_message()


def test_falls_back_when_the_first_mx_has_no_address(world):
    world.dns.mx("there.test", (10, "gone.there.test"), (20, "mx2.there.test"))
    second = world.sink("mx2.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    second.wait_message()


def test_a_host_that_says_nothing_does_not_hold_mail_up_forever(world):
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    world.sink("mx1.there.test", greet=SILENT)
    second = world.sink("mx2.there.test")
    world.start_relay(timeouts={"greeting": "1s"})
    world.send("a@here.test", "b@there.test")
    second.wait_message()


def test_equal_mx_hosts_are_both_used(world):
    world.dns.mx("there.test", (10, "mx1.there.test"), (10, "mx2.there.test"))
    sinks = [world.sink("mx1.there.test"), world.sink("mx2.there.test")]
    world.start_relay(delivery={"messages-per-connection": 1})

    def both():
        world.send("a@here.test", "b@there.test")
        return all(s.messages for s in sinks)
    wait_for(both, "mail at both hosts")


def test_every_address_of_a_host_is_tried(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.host("mx.there.test")
    world.host("mx.there.test")
    good = world.sink("mx.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    good.wait_message()


def test_mail_goes_over_ipv6(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    there = world.sink("mx.there.test", address=namespace.REMOTE6 + "7")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_a_dead_ipv6_address_leaves_ipv4(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.host("mx.there.test", namespace.REMOTE6 + "8")
    there = world.sink("mx.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_an_ipv6_address_that_does_not_answer_holds_nothing_up(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    hole = world.hole("mx.there.test", namespace.REMOTE6 + "8")
    there = world.sink("mx.there.test")
    world.start_relay(timeouts={"connect": "1h", "idle-connection": "1s"})
    for i in range(1, 3):
        world.send("a@here.test", "b@there.test")
        there.wait(i)
        there.wait_until(lambda: there.open == 0)
    hole.close()
    assert not world.log.has("deferred")


@pytest.mark.parametrize("refusal", [
    {"greet": "554 5.7.25 your address has no name"}, {"mail": "550 5.7.1 no PTR record"},
    {"final": "550 5.7.1 this does not meet our IPv6 guidelines"}])
def test_a_host_that_refuses_our_ipv6_address_is_asked_over_ipv4(world, refusal):
    world.dns.mx("there.test", (10, "mx.there.test"))
    six, other = (world.sink("mx.there.test", address=namespace.REMOTE6 + n, **refusal) for n in "79")
    four = world.sink("mx.there.test")
    world.start_relay(timeouts={"idle-connection": "1s"})
    world.send("a@here.test", "b@there.test")
    four.wait_message()
    four.wait_until(lambda: four.open == 0)
    world.send("a@here.test", "c@there.test")
    four.wait(2)
    assert six.attempts + other.attempts == 1
    assert len(world.log.find("ipv6_refused")) == 1
    assert not world.log.has("bounced") and not world.log.has("deferred")


def test_a_host_without_ipv4_has_its_way(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.sink("mx.there.test", address=namespace.REMOTE6 + "7", mail="550 5.7.25 no name")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert world.log.wait("bounced", recipient="b@there.test")["code"] == "550"


def test_where_the_first_50_mail_hosts_do_not_exist_it_is_no_failure_for_good(world):
    world.dns.mx("there.test", *((i, f"mx{i}.there.test") for i in range(60)))
    world.sink("mx59.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert world.wait_deferred()["rcpts"][0]["last"]["enhanced"] == "4.4.4"


def test_of_1000_mail_hosts_the_most_preferred_are_tried(world):
    hosts = [(i, f"mx{i}.there.test") for i in range(1000)]
    random.Random(1).shuffle(hosts)
    world.dns.mx("there.test", *hosts)
    for i in range(2):
        world.host(f"mx{i}.there.test")
    there = world.sink("mx2.there.test")
    other = world.sink("mx999.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()
    assert ("there.test", "MX", "tcp") in world.dns.questions  # it fits no datagram
    assert other.attempts == 0


def test_a_domain_without_mx_is_its_own_mail_host(world):
    there = world.sink("there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert there.wait_message().recipients == ["b@there.test"]


def test_a_null_mx_bounces_at_once(world):
    world.dns.null_mx("nomail.test")
    nomail = world.sink("nomail.test")
    world.start_relay()
    world.send("alice@here.test", "b@nomail.test")
    assert b"Status: 5.1.10" in world.mailbox("alice").wait_message()
    assert nomail.attempts == 0


def test_an_alias_is_followed(world):
    world.dns.cname("alias.test", "there.test")
    there = world.domain("there.test")
    world.start_relay()
    world.send("a@here.test", "b@alias.test")
    assert there.wait_message().recipients == ["b@alias.test"]


def test_an_mx_host_that_is_an_alias_is_found(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.dns.cname("mx.there.test", "real.there.test")
    there = world.sink("real.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_a_circle_of_aliases_is_a_temporary_trouble(world):
    world.dns.cname("one.test", "two.test")
    world.dns.cname("two.test", "one.test")
    world.dns.mx("there.test", (10, "one.test"))  # and of a mail host
    world.start_relay(retry=QUICK)
    for domain in "one.test", "there.test":
        world.send("alice@here.test", "b@" + domain)
        last = world.wait_deferred("--domain", domain)["rcpts"][0]["last"]
        assert last["class"] == "deferred" and last["enhanced"] == "4.4.3", last
    assert not world.log.has("bounced")


def test_name_servers_that_lie_are_not_believed(world):
    liar = world.domain("liar.test")
    names = {"other.test": lambda n: world.dns.answer_for(n, "liar.test"),
             "guess.test": world.dns.mistake}
    for name, manner in names.items():
        world.dns.mx(name, (10, "mx." + name))
        world.dns.a("mx." + name, liar.address)
        manner(name)
    world.start_relay(retry=QUICK, dns={"timeout": "1s", "tries": 1})
    for name in names:
        world.send("alice@here.test", "b@" + name)
        last = world.wait_deferred("--domain", name)["rcpts"][0]["last"]
        assert last["class"] == "deferred" and last["enhanced"] == "4.4.3", last
    assert liar.attempts == 0


def test_records_that_nobody_asked_for_are_not_believed(world):
    there, thief = world.domain("there.test"), world.sink("thief.test")
    world.dns.add_to("mx.there.test", "A", "else.test", thief.address)
    world.dns.add_to("there.test", "MX", "else.test", "5 thief.test.")
    world.start_relay()
    world.send("alice@here.test", "b@there.test")
    there.wait_message()
    assert thief.attempts == 0


def test_a_name_server_that_is_gone_leaves_the_others(world):
    there = world.domain("there.test")
    world.start_relay(dns={"servers": ["127.0.0.99", "127.0.0.53"], "timeout": "1s"})
    world.send("alice@here.test", "b@there.test")
    there.wait_message()
    assert not world.log.has("deferred")


def test_a_domain_that_does_not_exist_bounces(world):
    world.start_relay()
    world.send("alice@here.test", "b@missing.test")
    assert b"Status: 5.1.2" in world.mailbox("alice").wait_message()


def test_a_domain_without_any_address_bounces(world):
    world.dns.add("empty.test", "TXT", '"nothing here"')
    world.start_relay()
    world.send("alice@here.test", "b@empty.test")
    assert b"Status: 5.4.4" in world.mailbox("alice").wait_message()


@pytest.mark.parametrize("manner", ["servfail", "refuse", "garbage", "silent"])
def test_a_dns_failure_defers(world, manner):
    there = world.domain("there.test")
    getattr(world.dns, manner)("there.test", "MX")
    world.start_relay(retry=QUICK, dns={"timeout": "1s", "tries": 1})
    world.send("alice@here.test", "b@there.test")
    assert "cannot be looked up" in world.wait_deferred()["reason"]
    assert there.attempts == 0
    world.dns.behave("there.test", "MX")
    world.tern("queue", "retry", "--all")
    there.wait_message()
    assert world.mailbox("alice").files() == []


def test_a_dns_failure_for_the_address_defers(world):
    there = world.domain("there.test")
    world.dns.servfail("mx.there.test")
    world.start_relay(retry=QUICK)
    world.send("alice@here.test", "b@there.test")
    assert "cannot be looked up" in world.wait_deferred()["reason"]
    world.dns.behave("mx.there.test")
    there.wait_message()


def test_a_truncated_answer_is_asked_for_again_over_tcp(world):
    there = world.domain("there.test")
    world.dns.truncate("there.test", "MX")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()
    assert ("there.test", "MX", "tcp") in world.dns.questions


def test_a_long_answer_is_understood(world):
    hosts = [(20 + i, f"mx{i}.a-rather-long-name-of-a-mail-host.there.test") for i in range(60)]
    world.dns.mx("there.test", *hosts)
    world.dns.mx("there.test", (10, "mx.there.test"))
    there = world.sink("mx.there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_answers_are_remembered(world):
    there = world.domain("there.test")
    world.start_relay()
    for _ in range(5):
        world.send("a@here.test", "b@there.test")
    there.wait(5)
    assert world.dns.asked("there.test", "MX") == 1


def test_slow_dns_holds_up_nobody_else(world):
    world.domain("slow.test")
    world.dns.silent("slow.test")
    there = world.domain("there.test")
    world.start_relay(dns={"timeout": "60s"}, timeouts={"drain": "1s"})
    world.send("a@here.test", "b@slow.test")
    world.send("a@here.test", "b@there.test")
    there.wait_message()
    assert not world.log.has("deferred", recipient="b@slow.test")
    world.tern("queue", "delete", "--all")


def test_mail_that_would_come_back_here_is_a_loop(world):
    world.dns.mx("circle.test", (10, "us.circle.test"))
    world.host("us.circle.test", namespace.OWN)
    world.start_relay()
    world.send("alice@here.test", "b@circle.test")
    assert b"Status: 5.4.6" in world.mailbox("alice").wait_message()
    assert len(world.log.find("message_accepted")) <= 2  # the message, and its bounce


def test_a_literal_of_an_address_of_this_host_is_a_loop(world):
    world.start_relay()
    world.send("alice@here.test", f"b@[{namespace.OWN}]")
    assert b"Status: 5.4.6" in world.mailbox("alice").wait_message()
    assert len(world.log.find("message_accepted")) <= 2
    [answer] = explain(world, *WORDS, f"b@[{namespace.OWN}]")
    assert any("5.4.6" in step["what"] for step in answer["steps"])


def test_an_address_that_a_router_translates_to_this_host_is_known_by_the_settings(world):
    outside = world.domain("circle.test")
    world.start_relay(delivery={"own-addresses": [outside.address]})
    world.send("alice@here.test", "b@circle.test")
    assert b"Status: 5.4.6" in world.mailbox("alice").wait_message()
    assert outside.attempts == 0
    [answer] = explain(world, *WORDS, "b@circle.test")
    assert any("5.4.6" in step["what"] for step in answer["steps"])


def test_a_mail_host_that_greets_as_this_one_does_is_a_loop(world):
    """Only what is better may have the mail, and that is waited for."""
    world.dns.mx("backup.test", (10, "first.backup.test"), (20, "nat.backup.test"), (30, "third.backup.test"))
    first = world.sink("first.backup.test", greet="421 4.3.2 busy")
    third = world.sink("third.backup.test")
    us = world.sink("nat.backup.test", greet="220 MX.tern.test ESMTP")
    circle = world.domain("circle.test", greet="220-mx.tern.test ESMTP\r\n220 hello")
    world.start_relay(retry=QUICK)
    world.send("alice@here.test", "b@circle.test")
    assert b"Status: 5.4.6" in world.mailbox("alice").wait_message()
    world.send("alice@here.test", "b@backup.test")
    world.wait_deferred()
    first.says["greet"] = "220 here again"
    first.wait_message()
    assert us.attempts >= 1 and third.attempts == 0 and not circle.messages


def test_a_literal_that_nobody_may_send_to_comes_back_without_a_question(world):
    world.start_relay()
    world.send("alice@here.test", "b@[127.0.0.1]")
    line = world.log.wait("bounced", recipient="b@[127.0.0.1]")
    assert line["reason"] == "there is no way to such an address"
    assert b"Status: 5.1.2" in world.mailbox("alice").wait_message()
    assert not any(name == "invalid" for name, _, _ in world.dns.questions)
    [answer] = explain(world, "--from", "alice@here.test", "--client", "127.0.0.1", "--to", "b@[127.0.0.1]")
    assert [s["what"] for s in answer["steps"] if s["step"] == "route"] == \
        ["there is no way to such an address: the sender will hear so"]


def test_routes_hold_for_literals(world):
    smart, own = world.sink("smart.test"), world.sink("own.test")
    literal = f"b@[{own.address}]"
    world.start_relay(routes=[{"sender": "direct@here.test", "name": "direct", "via": "mx"},
                              {"domain": "*", "via": "smtp://smart.test"}])
    world.send("alice@here.test", literal)
    smart.wait(1)
    assert own.attempts == 0
    world.send("direct@here.test", literal)
    own.wait(1)
    for sender, way in (("alice@here.test", "smart.test"), ("direct@here.test", "direct: the MX hosts")):
        [answer] = explain(world, "--from", sender, "--client", "127.0.0.1", "--to", literal)
        assert way in [step["what"] for step in answer["steps"] if step["step"] == "route"][0]


def test_hosts_that_are_not_better_than_this_one_are_left_out(world):
    world.dns.mx("backup.test", (10, "first.backup.test"), (20, "us.backup.test"),
                 (30, "third.backup.test"))
    world.host("us.backup.test", namespace.OWN)
    first = world.sink("first.backup.test", greet="421 4.3.2 busy")
    third = world.sink("third.backup.test")
    world.start_relay(retry=QUICK)
    world.send("alice@here.test", "b@backup.test")
    world.wait_deferred()
    first.says.clear()
    first.wait_message()
    assert third.attempts == 0


def test_an_mx_that_names_this_host_is_a_loop(world):
    world.dns.mx("circle.test", (10, world.settings["hostname"]))
    world.start_relay()
    world.send("alice@here.test", "b@circle.test")
    assert b"Status: 5.4.6" in world.mailbox("alice").wait_message()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "169.254.1.1",
                                     "224.0.0.1", "255.255.255.255", "fe80::1"])
def test_an_mx_with_an_address_that_cannot_be_right_is_not_connected_to(world, address):
    world.dns.mx("odd.test", (10, "mx.odd.test"))
    world.host("mx.odd.test", address)
    world.start_relay()
    world.send("alice@here.test", "b@odd.test")
    assert b"Status: 5.4." in world.mailbox("alice").wait_message()


def test_loopback_hosts_can_be_allowed(world):
    world.dns.mx("near.test", (10, "mx.near.test"))
    near = world.sink("mx.near.test", address="127.0.1.7")
    world.start_relay(delivery={"loopback": True})
    world.send("a@here.test", "b@near.test")
    near.wait_message()


def test_a_fixed_route_replaces_the_mx_hosts(world):
    public = world.domain("there.test")
    inner = world.sink("inner.test", port=2626)
    below = world.sink("below.test")
    world.start_relay(routes=[
        {"domain": "there.test", "via": "smtp://inner.test:2626"},
        {"domain": ".there.test", "via": f"smtp://{below.address}"}])
    world.send("a@here.test", ["b@there.test", "c@sub.there.test"])
    assert inner.wait_message().recipients == ["b@there.test"]
    assert below.wait_message().recipients == ["c@sub.there.test"]
    assert public.attempts == 0


def test_a_smarthost_takes_everything_else(world):
    smart = world.sink("smart.test")
    direct = world.sink("direct.test")
    world.start_relay(routes=[
        {"domain": "there.test", "via": f"smtp://{direct.address}"},
        {"domain": "*", "via": "smtp://smart.test"}])
    world.send("a@here.test", ["b@there.test", "b@one.test", "b@two.test", "alice@here.test"])
    assert sorted(smart.wait_message().recipients) == ["b@one.test", "b@two.test"]
    direct.wait_message()
    world.mailbox("alice").wait_message()


def test_routes_by_sender_and_the_next_target_when_one_is_down(world):
    public = world.domain("there.test")
    news = world.sink("news.test")
    spare = world.sink("spare.test")
    dead = world.host("dead.test")
    world.start_relay(routes=[
        {"sender": "news@here.test", "via": [f"smtp://{dead}", "smtp://news.test"]},
        {"domain": "there.test", "via": ["mx", "smtp://spare.test"]}])
    world.send("news@here.test", "b@there.test")
    news.wait_message()
    world.send("a@here.test", "b@there.test")
    public.wait_message()
    assert (spare.attempts, news.attempts) == (0, 1)


def test_a_fallback_relay_takes_what_the_mail_hosts_cannot(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.host("mx.there.test")
    spare = world.sink("spare.test")
    world.start_relay(routes=[{"domain": "there.test", "via": ["mx", "smtp://spare.test"]}])
    world.send("a@here.test", ["b@there.test", "b@gone.test"])
    assert spare.wait_message().recipients == ["b@there.test"]


def test_a_route_can_refuse_or_discard(world):
    world.start_relay(routes=[
        {"domain": "old.test", "via": "550 5.1.2 nobody lives here any more"},
        {"domain": "hole.test", "via": "discard"}])
    world.send("alice@here.test", ["b@old.test", "b@hole.test"])
    notice = world.mailbox("alice").wait_message()
    assert b"550 5.1.2 nobody lives here any more" in notice
    world.log.wait("delivered", recipient="b@hole.test", reply="discarded")
    world.wait_empty_queue()


def test_a_relay_domain_is_taken_from_strangers_and_sent_on(world):
    inner = world.sink("inner.test")
    world.start_relay(
        domains={"inside.test": {"deliver": "relay"}},
        routes=[{"domain": "inside.test", "via": "smtp://inner.test"}])
    with world.connect(25, source="127.0.0.5") as c:
        c.hello()
        c.begin("x@there.test", "b@inside.test")
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert c.reply().startswith("250")
    assert inner.wait_message().recipients == ["b@inside.test"]


def test_recipients_at_one_destination_share_a_transaction(world):
    there = world.domain("there.test")
    world.start_relay()
    recipients = [f"b{i}@there.test" for i in range(150)]
    world.send("a@here.test", recipients)
    assert there.wait_message().recipients == recipients
    world.wait_empty_queue()
    assert there.attempts == 1 and len(there.messages) == 1


def test_connections_to_one_destination_are_limited(world):
    there = world.domain("there.test", final=lambda m: "250 ok")
    world.start_relay(delivery={"concurrency": 2})
    for _ in range(40):
        world.send("a@here.test", "b@there.test")
    there.wait(40)
    assert there.most_open <= 2


def test_a_connection_is_kept_for_the_next_message(world):
    there = world.domain("there.test")
    world.start_relay(timeouts={"idle-connection": "60s"})
    for _ in range(3):
        world.send("a@here.test", "b@there.test")
        world.wait_empty_queue()
    assert len(there.messages) == 3 and there.attempts == 1


def test_a_remote_without_extensions_gets_one_command_at_a_time(world):
    there = world.domain("there.test", ehlo="502 5.5.1 what?")
    world.start_relay()
    world.send("a@here.test", ["b@there.test", "c@there.test"])
    assert there.wait_message().recipients == ["b@there.test", "c@there.test"]
    assert any(c.startswith("HELO ") for c in there.commands)


def test_routes_by_login_and_by_the_tag_of_a_rule(world):
    public, by_login, by_tag, by_rule = (
        world.domain("there.test"), *(world.sink(f"{name}.test") for name in ("login", "tag", "rule")))
    login.start(world)
    world.configure(
        rules=[{"header": {"X-Kind": "bulk"}, "then": "tag bulk"},
               {"sender": "chosen@here.test", "then": "route chosen"}],
        routes=[{"login": "alice@here.test", "via": "smtp://login.test"},
                {"tag": "bulk", "via": "smtp://tag.test"},
                {"name": "chosen", "via": "smtp://rule.test"}], trust=["127.0.0.1"])
    world.reload()
    with smtplib.SMTP("127.0.0.1", 2526, "client.test") as client:
        client.login("alice@here.test", login.PASSWORD)
        client.sendmail("alice@here.test", "b@there.test", "Subject: x\r\nX-Kind: bulk\r\n\r\nx\r\n")
    assert by_login.wait_message().recipients == ["b@there.test"]  # the first that matches
    world.send("a@here.test", "b@there.test", b"Subject: x\r\nX-Kind: bulk\r\n\r\nx\r\n")
    assert by_tag.wait_message().recipients == ["b@there.test"]
    world.send("chosen@here.test", "b@there.test", b"Subject: x\r\nX-Kind: bulk\r\n\r\nx\r\n")
    assert by_rule.wait_message().recipients == ["b@there.test"]
    world.send("a@here.test", "b@there.test")
    assert public.wait_message().recipients == ["b@there.test"]
    assert [len(s.messages) for s in (public, by_login, by_tag, by_rule)] == [1, 1, 1, 1]


def test_several_smarthosts_are_used_in_order_or_in_turn(world):
    first, second = world.sink("one.test"), world.sink("two.test")
    via = ["smtp://one.test", "smtp://two.test"]
    world.start_relay(routes=[{"name": "turn", "domain": "turn.test", "via": via, "balance": "yes"},
                              {"name": "order", "domain": "order.test", "via": via}],
                      delivery={"messages-per-connection": 1})
    for _ in range(4):
        world.send("a@here.test", "b@turn.test")
        world.wait_empty_queue()
    assert (len(first.messages), len(second.messages)) == (2, 2)
    for _ in range(4):
        world.send("a@here.test", "b@order.test")
        world.wait_empty_queue()
    assert (len(first.messages), len(second.messages)) == (6, 2)


def test_the_hosts_of_large_providers_are_one_destination(world):
    for tenant in ("one", "two"):
        host = f"{tenant}-test.mail.protection.outlook.com"
        world.dns.mx(f"{tenant}.test", (0, host))
        world.sink(host)
    world.start_relay()
    for tenant in ("one", "two"):
        world.send("a@here.test", f"b@{tenant}.test")
    world.wait_empty_queue()
    done = world.tern("destinations", "--json")
    rows = {row["destination"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert sorted(rows["microsoft365"]["domains"]) == ["one.test", "two.test"]
