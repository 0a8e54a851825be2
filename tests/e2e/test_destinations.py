"""A destination is a set of mail hosts: its limits, its breaker, its turns."""

import json
import re

import pytest

from sink import SILENT

QUICK = {"first": "1s", "longest": "2s", "jitter": 0}


@pytest.mark.parametrize("workers", [1, 4])
def test_domains_at_one_host_share_its_connections_and_their_limit(world, workers):
    there = world.sink("mx.provider.test")
    domains = [f"customer{i}.test" for i in range(8)]
    for name in domains:
        world.dns.mx(name, (10, "mx.provider.test"))
    world.start_relay(delivery={"concurrency": 2}, workers={"delivery": workers})
    assert len(world.pids_of("delivery")) == workers
    for name in domains * 3:
        world.send("a@here.test", f"b@{name}")
    there.wait(3 * len(domains))
    assert there.most_open <= 2
    assert there.attempts <= 4


def test_domains_at_one_host_share_its_breaker_whichever_worker_asked(world):
    there = world.sink("mx.provider.test", greet="421 4.3.2 not now")
    domains = [f"customer{i}.test" for i in range(12)]
    for name in domains:
        world.dns.mx(name, (10, "mx.provider.test"))
    world.start_relay(retry={"first": "1h", "longest": "4h", "jitter": 0},
                      delivery={"concurrency": 1}, workers={"delivery": 4})
    world.send("a@here.test", "b@customer0.test")
    world.log.wait("destination_backed_off", destination="mx.provider.test")
    before = there.attempts
    for name in domains:
        world.send("a@here.test", f"b@{name}")
    world.wait_queue(lambda rows: len(rows) == 13 and all(r["state"] in ("deferred", "waiting")
                                                          for r in rows))
    row, = [json.loads(line) for line in world.tern("destinations", "--json").stdout.splitlines()
            if "customer" in line]
    assert (row["destination"], row["breaker"], row["waiting"]) == ("mx.provider.test", "open", 13)
    assert "421" in row["cause"] and row["next_at"]
    assert there.attempts == before
    there.says["greet"] = "220 here again"
    world.tern("destinations", "close", "mx.provider.test")
    there.wait(13)
    assert there.most_open == 1


def test_a_destination_has_limits_of_its_own(world):
    narrow, wide = world.sink("mx.narrow.test"), world.sink("mx.wide.test")
    for name in ("narrow", "wide"):
        world.dns.mx(f"{name}.test", (10, f"mx.{name}.test"))
    world.start_relay(destinations=[{
        "host": "mx.narrow.test", "concurrency": 1, "messages-per-connection": 2, "message-rate": "2/100ms",
        "recipient-rate": "100/1s", "connection-rate": "5/200ms"}])
    for _ in range(6):
        world.send("a@here.test", ["b@narrow.test", "b@wide.test"])
    connections = [m.connection for m in narrow.wait(6)]
    assert narrow.most_open == 1 and all(connections.count(c) == 2 for c in connections)
    assert len({m.connection for m in wide.wait(6)}) < 6
    world.wait_empty_queue()
    row = json.loads(world.tern("destinations", "mx.narrow.test", "--json").stdout)
    assert (row["connections_most"], row["messages_per_connection"]) == (1, 2)
    assert [row[f"{what}_rate"] for what in ("message", "recipient", "connection")] == [
        {"count": 2, "period_ms": 100}, {"count": 100, "period_ms": 1000}, {"count": 5, "period_ms": 200}]
    text = world.tern("destinations", "mx.narrow.test").stdout
    assert ("connections 1 of 1, 0 running, 2 messages each, 2 messages in 100ms, 100 recipients in 1000ms, "
            "5 attempts to connect in 200ms\n") in text
    assert re.search(f"waiting 0 of 0, for narrow.test\n +last success {TIME}$", text, re.M)
    assert re.fullmatch(TIME, row["last_success"])


def test_recipients_that_are_too_many_come_in_the_next_transaction(world):
    """RFC 5321, 4.5.3.1.10: at once, over the same connection, and as no failure."""
    taken = []

    def rcpt(_):
        taken.append(len(there.messages))
        return "250 2.1.5 ok" if taken.count(taken[-1]) <= 2 else "452 4.5.3 too many recipients"

    there = world.domain("there.test", rcpt=rcpt)
    world.start_relay(retry={"first": "1h", "longest": "4h"})
    everybody = [f"b{i}@there.test" for i in range(5)]
    world.send("a@here.test", everybody)
    messages = there.wait(3)
    assert [len(m.recipients) for m in messages] == [2, 2, 1]
    assert sorted(r for m in messages for r in m.recipients) == everybody
    assert there.attempts == 1
    world.wait_empty_queue()
    assert not world.log.has("deferred")
    assert {e["attempts"] for e in world.log.find("delivered")} == {"1"}


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


def breaker_of(world, name):
    """As text, and as JSON."""
    text, = [line.strip() for line in world.tern("destinations", name).stdout.splitlines() if "breaker" in line]
    return text, json.loads(world.tern("destinations", name, "--json").stdout)


TIME = r"20[-0-9]+T[0-9:.]+Z"


def test_the_breaker_is_closed_open_and_probing(world):
    """With its cause, and the time of the next probe while none goes."""
    there = world.domain("there.test", rcpt=SILENT)
    world.start_relay(retry={"first": "8s", "longest": "8s", "jitter": 0})
    world.send("a@here.test", "b@there.test")
    there.wait_until(lambda: any(c.startswith("RCPT") for c in there.commands))
    text, row = breaker_of(world, "there.test")
    assert (text, row["breaker"]) == ("breaker closed", "closed") and "next_at" not in row
    there.says["greet"] = "421 4.3.2 not now"
    there.drop()
    world.log.wait("destination_backed_off", destination="mx.there.test")
    text, row = breaker_of(world, "there.test")
    assert re.fullmatch(f"breaker open since {TIME}, next probe {TIME}: .+", text), text
    assert row["breaker"] == "open" and row["next_at"] > row["since"] and row["cause"] in text
    there.says["greet"] = SILENT
    before = there.attempts
    there.wait_until(lambda: there.attempts > before)
    text, row = breaker_of(world, "there.test")
    assert re.fullmatch(f"breaker probing since {TIME}: .+", text), text
    assert row["breaker"] == "probing" and "next_at" not in row and row["cause"] in text
    there.says.clear()
    there.drop()
    there.wait(1)
    world.wait_empty_queue()
    world.log.wait("destination_recovered", destination="mx.there.test")


@pytest.mark.parametrize("words", ["421 4.7.0 go away", "571 5.7.1 blocked"])
def test_a_recipient_that_is_refused_in_an_odd_way_stops_nobody_else(world, words):
    """A 421 that may mean one message, and a code that RFC 5321 does not know."""
    there = world.domain("there.test", rcpt={"bad@there.test": words, "ok@there.test": "250 ok"})
    world.start_relay(retry={"first": "4h", "longest": "4h", "jitter": 0})
    world.send("alice@here.test", "bad@there.test")
    line = world.log.wait("deferred" if words.startswith("4") else "bounced", recipient="bad@there.test")
    assert line["code"] == words[:3]
    world.send("bob@here.test", "ok@there.test")
    there.wait(1)


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
