"""MX records from a real DNS server: Knot."""
import shutil
import subprocess

import dns.exception
import dns.message
import dns.query
import pytest

import namespace
from world import die_with_parent, wait_for

ADDRESS = "127.0.0.54"
KNOTD = shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(KNOTD is None, reason="needs knotd (Debian package knot)")

CONFIG = """
server:
    rundir: {folder}
    listen: {address}@53
database:
    storage: {folder}
log:
  - target: stderr
    any: info
zone:
  - domain: test
    storage: {folder}
    file: test.zone
"""
ZONE = """
$ORIGIN test.
$TTL 60
@           SOA   ns root 1 3600 600 86400 60
@           NS    ns
ns          A     {address}
"""


@pytest.fixture
def knot(world):
    """Starts the server with these lines in the zone `test`, and the relay with it."""
    folder = world.folder / "knot"
    folder.mkdir(mode=0o700)
    started = []

    def start(records, **sections):
        (folder / "test.zone").write_text(ZONE.format(address=ADDRESS) + records)
        (folder / "knot.conf").write_text(CONFIG.format(folder=folder, address=ADDRESS))
        with open(folder / "log", "wb") as log:
            started.append(subprocess.Popen(
                namespace.without_capabilities() + [KNOTD, "-c", str(folder / "knot.conf")],
                stdout=log, stderr=log, preexec_fn=die_with_parent))

        def answers():
            try:
                query = dns.message.make_query("test.", "SOA")
                return dns.query.udp(query, ADDRESS, timeout=0.5).answer
            except (dns.exception.DNSException, OSError):
                return None
        wait_for(answers, lambda: "knotd:\n" + (folder / "log").read_text())
        world.start_relay(dns={"servers": [ADDRESS]}, **sections)
    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def test_mx_hosts_are_tried_in_order(world, knot):
    first = world.sink("mx1", greet="421 4.3.2 busy")
    second = world.sink("mx2")
    third = world.sink("mx3")
    knot(f"""
there    MX 20 mx2
there    MX 10 mx1
there    MX 30 mx3
mx1      A  {first.address}
mx2      A  {second.address}
mx3      A  {third.address}
""")
    world.send("a@here.test", "b@there.test")
    second.wait_message()
    assert first.attempts == 1 and third.attempts == 0


def test_implicit_mx_null_mx_and_missing_names(world, knot):
    there = world.sink("there")
    knot(f"""
there    A   {there.address}
nomail   MX  0 .
nomail   A   {there.address}
txtonly  TXT "no mail"
""")
    world.send("alice@here.test", "b@there.test")
    there.wait_message()
    for i, (name, status) in enumerate((("nomail", b"5.1.10"), ("missing", b"5.1.2"),
                                        ("txtonly", b"5.4.4"))):
        world.send("alice@here.test", f"b@{name}.test")
        bounces = world.mailbox("alice").wait(i + 1)
        assert any(b"; b@" + name.encode() in b and b"Status: " + status in b for b in bounces)
    assert there.attempts == 1


def test_aliases_and_wildcards(world, knot):
    there = world.sink("mx")
    knot(f"""
alias    CNAME there
there    MX 10 mxalias
mxalias  CNAME mx
mx       A {there.address}
*.wild   MX 10 mx
""")
    world.send("a@here.test", "b@alias.test")
    world.send("a@here.test", "b@any.wild.test")
    assert {m.recipients[0] for m in there.wait(2)} == {"b@alias.test", "b@any.wild.test"}


def test_a_delegation_that_leads_nowhere_defers(world, knot):
    knot("""
lame     NS ns.lame
ns.lame  A  198.51.100.99
""")
    world.send("alice@here.test", "b@lame.test")
    assert "cannot be looked up" in world.wait_deferred()["reason"]
    world.tern("queue", "delete", "--all")


def test_large_answers_come_over_tcp(world, knot):
    there = world.sink("mx")
    hosts = "".join(f"there MX {20 + i} a-rather-long-name-for-a-mail-host-{i}\n" for i in range(80))
    knot(hosts + f"there MX 10 mx\nmx A {there.address}\n")
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_both_families_of_addresses(world, knot):
    six = world.sink("mx", address=namespace.REMOTE6 + "9")
    knot(f"there MX 10 mx\nmx AAAA {six.address}\nmx A 198.51.100.98\n")
    world.send("a@here.test", "b@there.test")
    six.wait_message()
