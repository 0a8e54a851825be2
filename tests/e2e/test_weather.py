"""Bad weather: full disks, no descriptors, hostile remotes."""
import contextlib
import resource
import subprocess
import threading
import time

import pytest

import namespace
from sink import CLOSE, SILENT
from world import RawClient, wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}
LETTER = b"Subject: x\r\n\r\nx\r\n"


@pytest.fixture
def small_disk(world):
    """A disk of 12 MiB for the spool; `fill` and `free` change what is left of it."""
    disk = world.folder / "disk"
    disk.mkdir()
    namespace.mount_small_disk(disk, 12 * 1024)
    world.give_away(disk)
    world.spool = disk / "spool"
    world.configure(spool={"path": str(world.spool), "segment": "1M", "reserve": "2M",
                           "big-body": "256K"})
    yield disk
    namespace.unmount(disk)


def trouble(world, disk, variable):
    """A function that, called with True, begins that trouble of the disk, and with False ends it."""
    switch = disk / variable
    switch.write_bytes(b"0")
    world.environment |= {"LD_PRELOAD": str(world.build / "tests/crash/libstop.so"),
                          variable: str(switch),
                          "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

    def turn(on):
        with open(switch, "r+b", buffering=0) as f:
            f.write(b"1" if on else b"0")
    return turn


@pytest.fixture
def read_only(world, small_disk):
    """As after an error that made the kernel mount it read-only; a mount that has files open for writing is not
    made so for anybody else."""
    return trouble(world, small_disk, "READ_ONLY_WHILE")


@pytest.fixture
def read_fails(world, small_disk):
    """Nothing can be read from the disk."""
    return trouble(world, small_disk, "READ_FAILS_WHILE")


def fill(disk, leave_kib):
    """Takes all space but so much."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    free = int(subprocess.run(["df", "--output=avail", "-k", str(disk)], capture_output=True,
                              text=True, check=True).stdout.split()[-1])
    with open(ballast, "wb") as f:
        f.write(b"x" * max(0, (free - leave_kib) * 1024))


def attempt(world, content=LETTER):
    """The first answer that is not positive, or the last."""
    with world.connect() as c:
        c.hello()
        for command in ("MAIL FROM:<a@here.test>", "RCPT TO:<b@there.test>", "DATA"):
            words = c.command(command)
            if words[0] not in "23":
                return words
        c.send(content + b".\r\n")
        return c.reply()


def alarms(world):
    return {alarm["alarm"]: alarm for alarm in world.status()["alarms"]}


def assert_alarm(world, name, what, advice):
    """The status raises it, in these words among others, for programs and for people."""
    alarm = alarms(world)[name]
    assert what in alarm["what"] and advice in alarm["do"], alarm
    lines = [line.strip() for line in world.tern("status").stdout.splitlines()]
    at = lines.index("alarm: " + name)
    assert lines[at + 1:at + 3] == ["what: " + alarm["what"], "do: " + alarm["do"]]


def test_a_full_disk_is_answered_452_and_mail_is_taken_again_when_there_is_room(world, small_disk):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK)
    assert attempt(world).startswith("250")
    fill(small_disk, 256)
    wait_for(lambda: attempt(world).startswith("452 4.3.1"), "the queue to notice the full disk")
    assert world.status()["spool"]["trouble"] == "full"
    assert_alarm(world, "spool_full", "new mail is refused for now (452)", "make room")
    (small_disk / "ballast").unlink()
    wait_for(lambda: attempt(world).startswith("250"), "mail to be taken again")
    assert "spool_full" not in alarms(world)
    accepted = len(world.log.find("message_accepted"))
    there.says.clear()
    there.wait(accepted)
    world.wait_empty_queue()


def test_nothing_that_was_accepted_is_lost_when_the_disk_fills_up_suddenly(world, small_disk):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK, spool={"reserve": "0"})
    body = b"Subject: %d\r\n\r\n" + b"0123456789abcde\r\n" * 3000
    answers = [attempt(world, body % i)[:3] for i in range(20)]
    fill(small_disk, 0)
    answers += [attempt(world, body % i)[:3] for i in range(20, 300)]
    assert set(answers) <= {"250", "452"} and "452" in answers, set(answers)
    (small_disk / "ballast").unlink()
    wait_for(lambda: attempt(world, b"Subject: last\r\n\r\n").startswith("250"), "room again")
    there.says.clear()
    accepted = {i for i, words in enumerate(answers) if words == "250"}

    def arrived():
        return {int(m.content.partition(b"Subject: ")[2].split()[0]) for m in list(there.messages)
                if b"Subject: last" not in m.content} == accepted
    wait_for(arrived, "every accepted message")
    world.wait_empty_queue()


def test_large_messages_that_find_no_room_are_answered_452(world, small_disk):
    world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK, spool={"reserve": "0"})
    big = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 200_000
    answers = [attempt(world, big)[:3] for _ in range(6)]
    assert "452" in answers and set(answers) <= {"250", "452"}
    world.tern("queue", "delete", "--all")
    world.tern("queue", "delete", "--state", "deleted")
    wait_for(lambda: attempt(world, big).startswith("250"), "room again")
    world.tern("queue", "delete", "--all")


def test_mail_goes_out_while_the_disk_is_full(world, small_disk):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK)
    assert attempt(world).startswith("250")
    fill(small_disk, 0)
    there.says.clear()
    there.wait_message()
    world.wait_empty_queue()


def test_a_spool_that_turns_read_only_loses_nothing_and_resumes_by_itself(world, read_only):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK)
    for i in range(5):
        assert attempt(world, b"Subject: %d\r\n\r\n" % i).startswith("250")
    read_only(True)
    answers = set()

    def suspended():
        answers.add(attempt(world)[:3])
        return "421" in answers
    wait_for(suspended, lambda: f"421, but there were {answers}")
    assert answers <= {"451", "452", "421"}
    assert_alarm(world, "spool_suspended", "is read-only", "mount -o remount,rw")
    there.says.clear()
    there.wait(5)  # deliveries go on
    assert not attempt(world).startswith("250")

    read_only(False)
    wait_for(lambda: attempt(world, b"Subject: 5\r\n\r\n").startswith("250"), "mail to be taken again")
    there.wait(6)
    world.wait_empty_queue()
    assert "spool_suspended" not in alarms(world)
    subjects = sorted(m.content.partition(b"Subject: ")[2].split()[0] for m in there.messages)
    assert subjects == [b"%d" % i for i in range(6)]  # nothing twice: the outcomes were not forgotten


def test_mail_that_the_disk_does_not_give_waits_until_it_does(world, read_fails):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=QUICK, spool={"cache": "0"})
    small = world.send("a@here.test", "b@there.test")
    large = world.send("a@here.test", "c@there.test", b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 20_000)
    for message in (small, large):
        world.log.wait("deferred", message=message)
    read_fails(True)
    there.says.clear()
    for message in (small, large):
        assert world.log.wait("message_unreadable", message=message)["error"] == "Input/output error"
        shown = world.show(message)
        assert shown["state"] == "deferred" and "Input/output error" in shown["reason"], shown
    assert there.messages == []
    read_fails(False)
    there.wait(2)
    world.wait_empty_queue()
    assert world.status()["spool"]["damaged"] == 0
    assert list((world.spool / "bad").iterdir()) == []


def test_a_full_mailbox_disk_defers(world):
    world.maildirs.mkdir()
    namespace.mount_small_disk(world.maildirs, 256)
    world.give_away(world.maildirs)
    try:
        world.start_relay(retry=QUICK)
        message = world.send("a@there.test", "alice@here.test",
                             b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 40_000)
        assert "space" in world.log.wait("deferred", message=message)["reason"]
        small = world.send("a@there.test", "bob@here.test")
        world.log.wait("delivered", message=small)
        assert list((world.mailbox("alice").path / "tmp").iterdir()) == []
        world.tern("queue", "delete", "--all")
        world.wait_empty_queue()
    finally:
        namespace.unmount(world.maildirs)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_without_descriptors_smtpd_rests_and_recovers(world):
    world.descriptors = 40
    world.start_relay(limits={"connections": 1000, "connections-per-client": 1000},
                      workers={"smtpd": 1})
    (smtpd,) = world.pids_of("smtpd")
    clients = [RawClient() for _ in range(60)]
    world.log.wait("accepting_paused")
    before, began = cpu_seconds(smtpd), time.monotonic()
    world.log.wait("accepting_paused", count=3)
    used, passed = cpu_seconds(smtpd) - before, time.monotonic() - began
    assert used < max(0.5, passed / 2), f"{used} s of work while nothing could be done"
    for c in clients:
        c.close()
    wait_for(lambda: attempt_local(world), "mail to be taken again")
    world.mailbox("alice").wait_message()


def attempt_local(world):
    with contextlib.suppress(AssertionError, OSError), world.connect() as c:
        c.s.settimeout(5)
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        c.send(LETTER + b".\r\n")
        return c.reply().startswith("250")
    return False


def test_without_descriptors_delivery_puts_mail_off_and_all_of_it_arrives(world):
    world.descriptors = 40
    gate = threading.Event()

    def greet(_):
        gate.wait(90)
        return "220 sink ESMTP"
    there = world.sink("mx.there.test", greet=greet)
    count = 60
    for i in range(count):  # names of their own, or one limit would hold for all
        world.dns.mx(f"there{i}.test", (10, f"mx{i}.there.test"))
        world.dns.a(f"mx{i}.there.test", there.address)
    world.start_relay(retry=QUICK)
    for i in range(count):
        world.send("a@here.test", f"b@there{i}.test")
    world.log.wait("connecting_impossible")
    reason = world.log.wait("deferred")["reason"]
    assert reason.startswith("this host cannot connect: too many open files"), reason
    assert there.most_open < count
    assert not world.log.has("destination_backed_off")  # nobody is blamed
    gate.set()
    there.wait(count)
    world.wait_empty_queue()
    assert len(there.messages) == count


def test_a_master_with_few_descriptors_says_so_or_works(world):
    world.start_relay()
    soft, hard = resource.prlimit(world.master.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(world.master.pid, resource.RLIMIT_NOFILE, (8, hard))
    world.reload()
    assert world.log.has("reload_failed")
    resource.prlimit(world.master.pid, resource.RLIMIT_NOFILE, (soft, hard))
    world.reload()
    assert world.log.has("reloaded")
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()


def test_a_remote_that_never_answers_does_not_stop_other_mail(world):
    world.domain("tarpit.test", final=SILENT)
    there = world.domain("there.test")
    world.start_relay(delivery={"concurrency": 2}, timeouts={"drain": "1s"})
    for _ in range(10):
        world.send("a@here.test", "b@tarpit.test")
    world.send("a@here.test", "b@there.test")
    there.wait_message()
    assert world.sinks[0].most_open <= 2
    world.tern("queue", "delete", "--all")


@pytest.mark.parametrize("chunking", [False, True])
def test_a_message_that_was_dropped_at_its_end_comes_again(world, chunking):
    there = world.domain("there.test", extensions=["PIPELINING"] + ["CHUNKING"] * chunking,
                         **{"bdat" if chunking else "final": [CLOSE, "250 ok"]})
    world.start_relay(retry=QUICK)
    world.send("a@here.test", "b@there.test")
    there.wait_message()
    world.wait_empty_queue()
    assert len(world.log.find("deferred")) == 1 and not world.log.has("bounced")
    assert len(there.messages) == 1


def test_an_endless_reply_ends(world):
    lines = "".join(f"250-{'x' * 500}\r\n" for _ in range(20000))
    there = world.domain("there.test", mail=[lines + "250 ok", "250 ok"])
    world.start_relay(retry=QUICK)
    world.send("a@here.test", "b@there.test")
    there.wait_message()


def test_a_reply_that_trickles_ends(world):
    def trickle(_):
        for _ in range(600):
            time.sleep(0.05)
            if there._closing.is_set():
                break
        return "421 4.3.2 too late"
    there = world.domain("there.test", mail=[trickle, "250 ok"])
    world.start_relay(retry=QUICK, timeouts={"mail": "1s"})
    world.send("a@here.test", "b@there.test")
    there.wait_message()
