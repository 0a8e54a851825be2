"""Name servers that say nothing: they cost their own domains time, others none, and nobody mail."""
import pytest

from fakedns import FakeDns
from world import wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}
SILENT = 3000
EACH = 1000  # recipients of a message


def send_to_all(world, names):
    for i in range(0, len(names), EACH):
        world.send("news@here.test", [f"x@{name}" for name in names[i:i + EACH]])


@pytest.mark.parametrize("sender", ["reset@here.test", "news@here.test"])
def test_thousands_of_silent_domains_hold_nobody_up(world, sender):
    """Not one of them has been given up when the others get their mail."""
    names = [f"silent{i}.test" for i in range(SILENT)]
    for name in names:
        world.dns.silent(name)
    there, late = world.domain("there.test"), world.domain("late.test")
    world.start_relay(dns={"timeout": "5m"}, timeouts={"drain": "1s"})
    send_to_all(world, names)
    world.send(sender, "b@there.test")
    there.wait_message()
    # Without root the socket has less room, and what it lost nobody asks again so soon.
    wait_for(lambda: len({q for q in world.dns.questions if q[0].startswith("silent")}) > SILENT * 0.8,
             "most of them to be asked for")
    world.send(sender, "b@late.test")
    late.wait_message()
    assert not world.log.has("deferred")
    world.tern("queue", "delete", "--all")


def test_name_servers_that_die_and_come_back_cost_no_mail(world):
    there, late = world.domain("there.test"), world.domain("late.test")
    world.start_relay(retry=QUICK, dns={"timeout": "1s", "tries": 1})
    world.send("alice@here.test", "b@there.test")
    there.wait_message()
    records = world.dns.records
    world.dns.close()
    world.send("alice@here.test", "b@late.test")
    reason = world.wait_deferred()["reason"]
    world.dns = FakeDns()
    world.dns.records = records
    assert "cannot be looked up" in reason
    late.wait_message()
    assert world.mailbox("alice").files() == []


def test_an_answer_that_stays_truncated_defers(world):
    """Nothing but the flag over UDP, and TCP is closed."""
    there = world.domain("there.test")
    world.dns.truncate("there.test", "MX")
    whole = world.dns.manners["there.test", "MX"]
    world.dns.manners["there.test", "MX"] = lambda q, over_tcp: None if over_tcp else whole(q, False)
    world.start_relay(retry=QUICK, dns={"timeout": "1s", "tries": 1})
    world.send("alice@here.test", "b@there.test")
    assert "cannot be looked up" in world.wait_deferred()["reason"]
    assert ("there.test", "MX", "tcp") in world.dns.questions
    world.dns.behave("there.test", "MX")
    there.wait_message()
    assert world.mailbox("alice").files() == []
