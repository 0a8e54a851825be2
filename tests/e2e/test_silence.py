"""Name servers that say nothing: they cost their own domains their mail, and others no time."""
import pytest

from world import wait_for

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
    wait_for(lambda: len({q for q in world.dns.questions if q[0].startswith("silent")}) == SILENT,
             "all of them to be asked for")
    world.send(sender, "b@late.test")
    late.wait_message()
    assert not world.log.has("deferred")
    world.tern("queue", "delete", "--all")
