"""What happened to a mail: tern trace."""
import json

import pytest

SLOW = {"first": "1h", "longest": "4h", "jitter": 0}


def trace(world, word, status=0):
    run = world.tern("trace", word, "--json")
    assert run.returncode == status, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def ends(rows):
    return sorted((row["state"], row["rcpts"][0]["addr"]) for row in rows)


@pytest.fixture
def fates(world):
    """One message of each fate; ids by fate."""
    world.domain("good.test")
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.domain("full.test", rcpt="550 5.2.2 mailbox full")
    world.domain("here.test")
    world.start_relay(retry=SLOW)
    ids = {name: world.send("alice@here.test", f"bob@{name}.test",
                            f"Message-ID: <{name}@here.test>\r\n\r\nhello\r\n".encode())
           for name in ("good", "busy", "full")}
    ids["mixed"] = world.send("carol@here.test", ["c@good.test", "c@full.test", "c@busy.test"])
    world.wait_queue(lambda rows: {r["id"] for r in rows if r["state"] == "deferred"}
                     == {ids["busy"], ids["mixed"]})
    return ids


def test_trace_tells_of_every_fate(world, fates):
    good, = trace(world, fates["good"])
    assert good["state"] == "delivered" and good["last"]["code"] == 250
    assert good["sender"] == "alice@here.test" and good["size"] > 0 and good["attempts"] == 1
    assert good["last"]["host"].startswith("mx.good.test") and good["client"] == "127.0.0.1"
    full, = trace(world, fates["full"])
    assert full["state"] == "bounced" and full["last"]["text"] == "mailbox full"
    busy, = trace(world, fates["busy"])
    assert busy["state"] == "deferred" and "come back later" in busy["reason"]
    assert ends(trace(world, fates["mixed"])) == [
        ("bounced", "c@full.test"), ("deferred", "c@busy.test"), ("delivered", "c@good.test")]


def test_trace_finds_by_address_and_message_id(world, fates):
    assert {row["id"] for row in trace(world, "<good@here.test>")} == {fates["good"]}
    assert {row["id"] for row in trace(world, "busy@here.test")} == {fates["busy"]}
    assert {row["id"] for row in trace(world, "BOB@full.test")} == {fates["full"]}
    rows = trace(world, "alice@here.test")
    assert {fates["good"], fates["busy"], fates["full"]} <= {row["id"] for row in rows}
    assert fates["mixed"] not in {row["id"] for row in rows}
    text = world.tern("trace", "bob@full.test").stdout
    for words in (fates["full"], "bounced", "mailbox full", "<full@here.test>", "550"):
        assert words in text


def test_trace_ends_with_1_when_it_knows_nothing(world, fates):
    assert trace(world, "nobody@nowhere.test", status=1) == []
    assert world.tern("trace").returncode == 2


def test_trace_tells_of_deleted_mail_in_the_trash_and_after(world, fates):
    world.tern("queue", "delete", fates["busy"])
    assert [row["state"] for row in trace(world, fates["busy"])] == ["deleted"]
    world.tern("queue", "delete", "--state", "deleted")
    assert world.queue("--state", "deleted") == []
    gone, = trace(world, "<busy@here.test>")
    assert gone["state"] == "deleted" and gone["rcpts"][0]["addr"] == "bob@busy.test"


def test_trace_works_while_nothing_runs_and_after_a_restart(world, fates):
    before = {name: ends(trace(world, fates[name])) for name in fates}
    world.stop_relay()
    assert {name: ends(trace(world, fates[name])) for name in fates} == before
    world.start_relay()
    assert ends(trace(world, fates["full"])) == before["full"]
