"""The name of a client's host: looked up by dns, both ways, and waited for only where a rule asks for it."""
import namespace
from test_submission import HELLO, received_of
from world import RawClient

REVERSE = ".".join(reversed(namespace.OWN.split("."))) + ".in-addr.arpa"


def start(world):
    """Everybody may write to alice, at an address that is not loopback."""
    world.start_relay(log={"level": "debug"})


def submit(world, before_content=lambda: None):
    with RawClient(25, namespace.OWN, source=namespace.OWN) as c:
        c.hello()
        before_content()
        c.begin("a@there.test", "alice@here.test")
        assert c.command(HELLO.decode().rstrip() + "\r\n.").startswith("250")


def test_the_name_stands_in_received_log_and_queue(world):
    world.dns.add(REVERSE, "PTR", "other.tern.test.", "client.tern.test.")
    world.dns.a("client.tern.test", namespace.OWN)
    start(world)
    submit(world, lambda: world.log.wait("client_named", client_name="client.tern.test"))
    received = received_of(world.mailbox("alice").wait_message())
    assert f"from client.test (client.tern.test [{namespace.OWN}])" in received
    assert world.log.wait("message_accepted")["client_name"] == "client.tern.test"


def test_a_name_that_does_not_lead_back_is_not_believed(world):
    world.dns.add(REVERSE, "PTR", "bank.test.")
    world.dns.a("bank.test", "203.0.113.1")
    start(world)
    submit(world, lambda: world.log.wait("question_failed", name=namespace.OWN))
    received = received_of(world.mailbox("alice").wait_message())
    assert f"from client.test ([{namespace.OWN}])" in received
    assert "client_name" not in world.log.wait("message_accepted")


def test_a_silent_dns_delays_nobody(world):
    world.dns.silent(REVERSE)
    world.settings["dns"]["timeout"] = "60s"
    start(world)
    submit(world)
    received = received_of(world.mailbox("alice").wait_message())
    assert f"from client.test ([{namespace.OWN}])" in received
    assert world.dns.asked(REVERSE, "PTR") == 1


def start_with_rule(world):
    world.dns.add(REVERSE, "PTR", "host.dialup.test.")
    world.dns.a("host.dialup.test", namespace.OWN)
    world.settings["rules"] = [{"name": "dialup", "client-name": ".dialup.test", "then": "refuse No dialups"}]
    start(world)


def in_one_piece():
    """What the server says to a client that does not wait between its commands."""
    with RawClient(25, namespace.OWN, source=namespace.OWN) as c:
        c.hello()
        return c.command("MAIL FROM:<a@there.test>\r\nRCPT TO:<alice@here.test>")


def test_a_rule_waits_for_the_name(world):
    world.dns.delay(REVERSE, 1)
    start_with_rule(world)
    assert in_one_piece().startswith("550 5.7.1 No dialups (rule dialup)")


def test_a_rule_that_cannot_know_the_name_defers(world):
    world.dns.servfail(REVERSE)
    start_with_rule(world)
    reply = in_one_piece()
    assert reply.startswith("450 4.4.3 ") and reply.splitlines()[0].endswith(" (rule dialup)"), reply
    world.log.wait("message_refused", rule="dialup", code="450")
