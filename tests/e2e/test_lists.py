"""Lists of addresses in the DNS."""
import namespace
from test_submission import HELLO
from world import RawClient

CLIENT = ".".join(reversed(namespace.OWN.split(".")))


def start(world, **strangers):
    world.dns.a("2.0.0.127.bl.test", "127.0.0.2")
    world.dns.a("2.0.0.127.wl.test", "127.0.0.2")
    world.start_relay(strangers={"block-lists": ["bl.test"], "allow-lists": ["wl.test"],
                                 **strangers})


def deliver(recipient="alice@here.test"):
    """The reply to the whole of it, or to what was refused first."""
    with RawClient(25, namespace.OWN, source=namespace.OWN) as c:
        c.hello()
        for line in ("MAIL FROM:<a@there.test>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = c.command(line)
            if reply[0] not in "23":
                return reply
        return c.command(HELLO.decode().rstrip() + "\r\n.")


def test_a_listed_client_is_refused_and_told_where(world):
    world.dns.a(f"{CLIENT}.bl.test", "127.0.0.3")
    start(world)
    assert deliver() == f"550 5.7.1 Your address, {namespace.OWN}, is listed at bl.test"
    line = world.log.wait("client_listed", client=namespace.OWN, list="bl.test")
    assert line["answer"] == "127.0.0.3"
    assert deliver("postmaster@here.test").startswith("250")
    world.send("a@here.test", "alice@here.test", HELLO)  # who may relay is not asked about
    assert world.dns.asked(f"{CLIENT}.bl.test", "A") == 1  # remembered
    assert world.dns.asked(f"{CLIENT}.bl.test", "AAAA") == 0


def test_an_allow_list_is_stronger(world):
    world.dns.a(f"{CLIENT}.bl.test", "127.0.0.3")
    world.dns.a(f"{CLIENT}.wl.test", "127.0.0.2")
    start(world)
    assert deliver().startswith("250")


def test_lists_that_do_not_answer_do_not_list(world):
    world.dns.silent(f"{CLIENT}.bl.test")
    world.dns.servfail(f"{CLIENT}.wl.test")
    world.settings["dns"]["timeout"] = "60s"
    start(world, **{"list-timeout": "500ms"})
    assert deliver().startswith("250")


def test_a_list_that_lists_everybody_is_passed_over(world):
    world.dns.a("1.0.0.127.bl.test", "127.0.0.2")
    world.dns.a(f"{CLIENT}.bl.test", "127.0.0.2")
    start(world)
    world.log.wait("list_unusable", list="bl.test")
    assert deliver().startswith("250")
