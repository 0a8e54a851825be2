"""A destination is a set of mail hosts: its limits, its breaker, its turns."""

import json

QUICK = {"first": "1s", "longest": "2s", "jitter": 0}


def test_domains_at_one_host_share_its_connections_and_their_limit(world):
    there = world.sink("mx.provider.test")
    domains = [f"customer{i}.test" for i in range(8)]
    for name in domains:
        world.dns.mx(name, (10, "mx.provider.test"))
    world.start_relay(delivery={"concurrency": 2})
    for name in domains * 3:
        world.send("a@here.test", f"b@{name}")
    there.wait(3 * len(domains))
    assert there.most_open <= 2
    assert there.attempts <= 4


def test_a_domain_without_name_servers_does_not_harm_those_at_the_same_host(world):
    there = world.sink("mx.provider.test")
    for name in ("good.test", "bad.test"):
        world.dns.mx(name, (10, "mx.provider.test"))
    world.start_relay(retry=QUICK, dns={"longest-ttl": "0s"},
                      delivery={"messages-per-connection": 1})
    world.send("a@here.test", "b@bad.test")
    there.wait(1)
    world.dns.servfail("bad.test")
    world.send("a@here.test", "b@bad.test")
    world.log.wait("destination_backed_off", destination="bad.test")
    world.send("a@here.test", "b@good.test")
    there.wait(2)
    assert not world.log.has("destination_backed_off", destination="mx.provider.test")


def test_an_administrator_opens_and_closes_the_breaker_of_a_destination(world):
    there = world.domain("there.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    there.wait(1)
    assert world.tern("destinations", "open", "there.test").returncode == 0
    world.send("a@here.test", "b@there.test")
    row = json.loads(world.tern("destinations", "there.test", "--json").stdout)
    assert (row["destination"], row["breaker"], row["waiting"]) == ("mx.there.test", "open", 1)
    assert row["last_success"]
    assert "breaker open" in world.tern("destinations").stdout
    assert world.tern("destinations", "close", "elsewhere.test").returncode == 1
    assert world.tern("destinations", "close", "mx.there.test").returncode == 0
    there.wait(2)
