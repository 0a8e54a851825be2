"""The spool as an administrator sees it when something is wrong with the disk, or with Tern."""
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import threading

import pytest

from spool_reader import damage, live_messages, segment_records
from world import wait_for

SLOW = {"first": "1h", "longest": "4h", "jitter": 0}
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 40000


@pytest.fixture
def filled(world):
    """Messages that wait; content by id. The last one is large."""
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.start_relay(retry=SLOW)
    ids = [world.send("alice@here.test", "b@busy.test", content) for content in
           [b"Subject: %d\r\n\r\n" % i + b"x" * 70 * i + b"\r\n" for i in range(20)] + [BIG]]
    world.wait_queue(lambda rows: len(rows) == len(ids)
                     and all(r["state"] in ("deferred", "waiting") for r in rows))
    return {message: world.cat(message) for message in ids}


def check(world):
    """Exit status, findings, numbers."""
    done = world.tern("spool", "check", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and lines[-1].pop("end"), done.stderr
    return done.returncode, lines[:-1], lines[-1]


def segments(world):
    return sorted((world.spool / "log").glob("*.seg"))


def overwrite(path, offset, content):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(content)


def test_a_sound_spool_is_said_to_be_sound(world, filled):
    status, findings, numbers = check(world)
    assert (status, findings, numbers["damaged"]) == (0, [], 0)
    assert numbers["unfinished"] == len(filled) and numbers["large_bodies"] == 1
    world.tern("queue", "delete", *list(filled)[:5])
    assert check(world)[2]["unfinished"] == len(filled)  # they are in the trash
    world.tern("queue", "delete", "--state", "deleted")
    assert check(world)[2]["unfinished"] == len(filled) - 5
    text = world.tern("spool", "check")
    assert text.returncode == 0 and "damaged 0" in text.stdout
    world.stop_relay()
    assert [f["what"] for f in check(world)[1]] == [] and damage(world.spool) == set()
    for wrong in (("spool",), ("spool", "mend"), ("spool", "check", "all")):
        assert world.tern(*wrong).returncode == 2
    world.start_relay()


def test_a_spool_that_is_busy_is_not_said_to_be_damaged(world):
    world.start_relay(spool={"segment": "1M", "big-body": "64K"})
    over = threading.Event()
    sizes = itertools.cycle([100, 5000, 60000, 100000])
    sent = []

    def send():
        while not over.is_set():
            sent.append(world.send("a@here.test", "alice@here.test",
                                   b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * next(sizes)))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        reports = [check(world) for _ in range(40)]
    finally:
        over.set()
        sender.join()
    assert len(sent) > 40 and {report[0] for report in reports} == {0}, reports


def test_damage_is_found_with_its_place(world, filled):
    world.stop_relay()
    log, = segments(world)
    content = log.read_bytes()
    body, header, meta = list(filled)[3:6]
    at = {message: content.index(b"TERN1 M " + message.encode()) for message in (body, header, meta)}
    overwrite(log, content.index(filled[body][-40:], at[body]), b"\xff")
    overwrite(log, at[header] + 5, b"\xff")
    overwrite(log, at[meta] + 70, b"\xff")
    big, = (world.spool / "big").glob("*/*.eml")
    overwrite(big, 100000, b"\xff")
    status, findings, numbers = check(world)
    places = {(f["file"], f["offset"]): f for f in findings}
    body_file = f"big/{big.parent.name}/{big.name}"
    # Two neighbours without a whole header are one place.
    assert status == 1 and set(places) == {("log/" + log.name, at[body]),
                                           ("log/" + log.name, at[header]), (body_file, 0)}
    assert numbers["damaged"] == 3
    assert {("log/" + name, at) for name, at in damage(world.spool)} == set(places) - {(body_file, 0)}
    assert places["log/" + log.name, at[body]]["message"] == body
    assert places[body_file, 0]["message"] == list(filled)[-1]
    assert "checksum" in places[body_file, 0]["what"]
    text = world.tern("spool", "check")
    assert text.returncode == 1 and f"{log.name}: offset {at[body]}, " in text.stdout
    big.unlink()
    assert any("not there" in f["what"] for f in check(world)[1])


def test_damaged_mail_is_frozen_until_the_administrator_decides(world, filled):
    """A small body, found when the log is read, and a large one, found when it is sent."""
    busy, = world.sinks
    world.stop_relay()
    log, = segments(world)
    content = log.read_bytes()
    small, large = list(filled)[3], list(filled)[-1]
    at = content.index(b"TERN1 M " + small.encode())
    overwrite(log, content.index(filled[small][-40:], at), b"\xff")
    big, = (world.spool / "big").glob("*/*.eml")
    overwrite(big, 100000, b"\xff")
    world.damage_is_expected = True
    world.start_relay(retry=SLOW)
    assert [r["id"] for r in world.queue("--state", "held")] == [small]
    busy.says["rcpt"] = "250 2.1.5 ok"
    world.tern("queue", "retry", large)
    world.wait_queue(lambda rows: {r["id"] for r in rows} == {small, large}, "--state", "held")
    for message in (small, large):
        assert "held: it is damaged in the spool" in world.tern("queue", "show", message).stdout
    event, = world.log.find("message_damaged")
    assert event["message"] == large and world.log.has("record_damaged", message=small)
    assert not any(b"\xff" in m.content for m in busy.messages)
    assert world.status()["spool"]["damaged"] == 2
    overwrite(big, 100000, filled[large][100000:100001])
    world.tern("queue", "release", large)
    busy.wait_until(lambda: any(m.content.endswith(BIG[-1000:]) for m in busy.messages))
    world.tern("queue", "delete", small)
    assert not world.queue("--state", "held")


def refuse(world, large):
    """What the sender is told."""
    busy, = world.sinks
    busy.says["rcpt"] = "550 5.1.1 nobody"
    world.tern("queue", "retry", large)
    told, = world.mailbox("alice").wait()
    return told


def test_a_notice_has_the_header_of_a_large_message_that_is_sound(world, filled):
    told = refuse(world, list(filled)[-1])
    assert told.count(b"Subject: big\r\n" if b"\r\n" in told else b"Subject: big\n") == 2
    assert b"was not checked for damage" not in told


def test_nothing_of_a_damaged_large_message_is_in_a_notice(world, filled):
    big, = (world.spool / "big").glob("*/*.eml")
    overwrite(big, big.read_bytes().index(b"Subject: big") + 9, b"XXX")
    world.damage_is_expected = True
    told = refuse(world, list(filled)[-1])
    assert b"XXX" not in told and b"rfc822-headers" not in told
    assert b"is damaged: so" in told and b"b@busy.test" in told
    assert world.log.has("header_unreadable", message=list(filled)[-1])
    assert world.status()["spool"]["damaged"] == 1


def test_a_notice_says_why_it_has_nothing_of_a_very_large_message(world):
    world.domain("there.test", rcpt="550 5.1.1 nobody")
    world.start_relay(limits={"message-size": "100M"})
    world.send("alice@here.test", "b@there.test", b"Subject: huge\r\n\r\n" + BIG[16:] * 112)
    told, = world.mailbox("alice").wait()
    assert b"huge" not in told and b"was not checked for damage" in told


def test_any_damaged_sector_is_found(world, filled):
    world.stop_relay()
    log, = segments(world)
    sound = log.read_bytes()
    end = sound.rindex(b"TERN1 ")
    chance = random.Random(5)
    for _ in range(20):
        at = chance.randrange(0, end // 512) * 512
        if not sound[at:at + 512].strip(b"\0") or 4096 - 512 > at >= 512:
            continue  # nothing is there, or words alone
        overwrite(log, at, chance.randbytes(512))
        status, findings, _ = check(world)
        assert status == 1 and findings, at
        overwrite(log, at, sound[at:at + 512])
    assert [f["what"] for f in check(world)[1]] == []


def rescue(world, log):
    """The messages that the program in a segment finds there, by their ids."""
    words = log.read_bytes()[:4096].split(b"\0")
    program = next(w for w in words if b"import os, re, sys" in w).decode()
    lines = program[program.index("    import os, re, sys"):].splitlines()
    assert all(line.startswith("    ") for line in lines)
    script = world.folder / "rescue.py"
    script.write_text("".join(line[4:] + "\n" for line in lines))
    rescued = subprocess.run([sys.executable, str(script), str(log)], check=True, capture_output=True).stdout
    parts = {}
    for part in rescued.split(b"\n---- ")[1:]:
        message, _, rest = part.partition(b"\n")
        parts[message.decode()] = rest
    return parts


def test_the_words_in_a_segment_are_enough_to_rescue_mail(world, filled):
    world.kill()
    world.deaths_are_expected = True
    parts = {}
    for log in segments(world):
        parts |= rescue(world, log)
    found = subprocess.run(["grep", "-haoE", "TERN1 [MC] [0-9a-f]{16}", *map(str, segments(world))], check=True,
                           capture_output=True, text=True).stdout.split("\n")
    assert {line.split()[2] for line in found if line} == set(filled)
    assert set(parts) == set(filled)
    for message, content in filled.items():
        envelope = parts[message][:-len(content)]
        assert parts[message].endswith(content) and b"\nrcpt=b@busy.test\n" in envelope
    world.start_relay()


def test_damage_hides_no_neighbour_from_the_rescue(world):
    """Messages of one size, so that a wrong length may end at the beginning of another record."""
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.start_relay()
    ids = [world.send("alice@here.test", "b@busy.test", b"Subject: %02d\r\n\r\n" % n) for n in range(30)]
    world.kill()
    world.deaths_are_expected = True
    log, = segments(world)
    sound = log.read_bytes()
    first = sound.index(f"TERN1 M {ids[0]}".encode())
    places = [(31 + digit, b"1") for digit in range(7)] + [(25 + digit, b"1") for digit in range(5)]
    for at, byte in places + [(64 + 3, b"\xff"), (64 + 20, b"\xff"), (32, b"\xff"), (0, b"\xff")]:
        overwrite(log, first + at, byte)
        found = rescue(world, log)
        assert set(found) >= set(ids[1:]), (at, byte)
        assert all(b"Subject: %02d\r\n" % n in found[ids[n]] for n in range(1, 30))
        overwrite(log, first, sound[first:first + 4096])
    world.start_relay()


def test_a_segment_of_another_owner_is_named_and_waits(world, filled):
    """As a copy that was made as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    world.stop_relay()
    log, = segments(world)
    owner = log.stat()
    os.chown(log, 0, 0)
    world.start_relay()
    unreadable = world.log.wait("segment_unreadable", file=log.name)
    assert "Permission denied" in unreadable["error"]
    world.send("alice@here.test", "b@busy.test", b"Subject: new\r\n\r\n")
    status, findings, _ = check(world)
    assert status == 1 and [f["file"] for f in findings] == ["log/" + log.name]
    assert "Permission denied" in findings[0]["what"]
    alarms = {a["alarm"]: a for a in json.loads(world.tern("status", "--json").stdout)["alarms"]}
    assert "damaged" in alarms
    assert f"log/{log.name} at byte 0 (Permission denied)" in alarms["segments_unreadable"]["what"]
    os.chown(log, owner.st_uid, owner.st_gid)
    world.log.wait("segments_readable")
    world.log.wait("queue_restored", messages=str(len(filled) + 1))
    assert len(world.queue()) == len(filled) + 1
    world.send("alice@here.test", "b@busy.test", b"Subject: newer\r\n\r\n")
    assert all(world.cat(message) == content for message, content in filled.items())
    assert [f["what"] for f in check(world)[1]] == []
    world.stop_relay()
    # The first one has no end, and the head of the next one says so.
    assert damage(world.spool) == set() and len(segments(world)) == 2


def test_a_copy_of_the_spool_goes_on_elsewhere(world, filled):
    """On another machine: other inodes, another path, another name."""
    world.stop_relay()
    copy = world.folder / "moved" / "spool"
    shutil.copytree(world.spool, copy)
    copy.parent.chmod(0o755)
    world.give_away(copy)
    copy.chmod(0o700)
    shutil.rmtree(world.spool)
    world.spool = copy
    world.start_relay(spool={"path": str(copy)}, hostname="other.tern.test")
    assert {row["id"] for row in world.queue()} == set(filled)
    assert all(world.cat(message) == content for message, content in filled.items())
    assert check(world)[:2] == (0, [])
    new = world.send("alice@here.test", "b@busy.test", b"Subject: new\r\n\r\n")
    assert new not in filled


def as_the_documentation_says(world):
    """What the queue holds, by a reader that was written from doc/spool-format.md alone."""
    return {f"{m.id:016x}": (m.sender, m.size, m.change, m.open)
            for m in live_messages(world.spool).values()}


def as_tern_says(world):
    changes = {"held": "hold", "deleted": "deleted"}
    return {row["id"]: (row["sender"], row["size"], changes.get(row["state"]),
                        {r["addr"]: r["attempts"] for r in row["rcpts"]})
            for row in world.queue("--state", "deleted") + world.queue()}


def test_the_documentation_is_enough_to_read_the_spool(world):
    """Outcomes, bounces, the trash, holds, large bodies, and segments that were emptied."""
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.domain("no.test", rcpt="550 5.1.1 nobody there")
    world.domain("yes.test")
    world.start_relay(retry=SLOW, spool={"segment": "1M"})
    long = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 4000
    stay = [world.send("alice@here.test", ["b@busy.test", "c@no.test", "d@yes.test"], long),
            world.send("x%y@z.test", "b@busy.test", BIG)]
    for i in range(160):
        world.send("x@y.test", "d@yes.test", long)
        if i % 20 == 0:
            stay.append(world.send("x@y.test", "b@busy.test", long))
    world.wait_queue(lambda rows: sorted(r["id"] for r in rows) == sorted(stay))
    wait_for(lambda: world.status()["spool"]["segments_emptied"] > 0, "segments to be emptied")
    world.tern("queue", "hold", stay[2])
    world.tern("queue", "delete", *stay[3:7])
    world.tern("queue", "undelete", stay[4])  # held
    world.tern("queue", "undelete", stay[5])
    world.tern("queue", "release", stay[5])
    world.tern("queue", "delete", stay[6])  # out of the trash
    world.wait_queue(lambda rows: len(rows) == len(stay) - 2)
    world.stop_relay()
    found = as_the_documentation_says(world)
    assert found == as_tern_says(world)
    assert {found[i][2] for i in stay if i in found} == {None, "hold", "deleted"}
    assert any(r.type == "C" for path in segments(world) for r in segment_records(path, {}))
    assert all(m.whole for m in live_messages(world.spool).values())
