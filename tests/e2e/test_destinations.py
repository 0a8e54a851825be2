"""A destination is a set of mail hosts: its limits, its breaker, its turns."""

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
