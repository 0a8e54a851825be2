#!/usr/bin/python3
"""What a queue for a destination that is dead costs the mail that can be delivered: two relays of
its own, one with such a queue and one without, get the same live traffic in turns. Prints how many
messages a second reached their server, and the processor time of Tern for a thousand of them.

    tests/bench/bench_dead.py [MESSAGES [ROUNDS [LIVE [refused|silent [BUILD]]]]]

MESSAGES wait (100000), LIVE go through in each round (10000, of 4 KiB). The dead host refuses
connections, or takes them and says nothing. On a machine that does other work, compare the
processor time."""
import asyncio
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def argument(i, otherwise):
    return type(otherwise)(sys.argv[i]) if len(sys.argv) > i else otherwise


QUEUE, ROUNDS, LIVE = argument(1, 100000), argument(2, 5), argument(3, 10000)
DEATH = argument(4, "refused")
BUILD = pathlib.Path(argument(5, str(pathlib.Path(__file__).parents[2] / "build"))).resolve()
SESSIONS = 20
SENDERS = 100  # of the mail that waits
BODY = b"Subject: bench\r\n\r\n" + b"A line of sixty-two octets, which are all that there is here.\r\n" * 64
PATIENCE_S = 600
SINK, SILENT, NOBODY, FIRST_PORT = 2597, 2596, 2595, 2598


class Client(asyncio.Protocol):
    """Sends messages over one session, each in one write, until `take` gives no more."""

    def __init__(self, take, done):
        self.take, self.done, self.input, self.expected = take, done, b"", [b"220"]
        self.greeted = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.input += data
        *lines, self.input = self.input.split(b"\r\n")
        for line in lines:
            if line[3:4] == b"-":
                continue
            if line[:3] != self.expected.pop(0):
                self.done.set_exception(RuntimeError(line.decode()))
                self.transport.abort()
                return
        if not self.expected:
            self.say_next()

    def say_next(self):
        if not self.greeted:
            self.greeted = True
            self.expected = [b"250"]
            self.transport.write(b"EHLO load.test\r\n")
            return
        envelope = self.take()
        if envelope is None:
            self.transport.close()
            self.done.set_result(None)
            return
        self.expected = [b"250"] * 3
        self.transport.write(b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nBDAT %d LAST\r\n%b" %
                             (*envelope, len(BODY), BODY))


async def load(port, envelopes):
    loop = asyncio.get_running_loop()
    dones = [loop.create_future() for _ in range(SESSIONS)]
    for done in dones:
        await loop.create_connection(lambda done=done: Client(lambda: next(envelopes, None), done),
                                     "127.0.0.1", port)
    await asyncio.gather(*dones)


class Sink(asyncio.Protocol):
    """Takes everything and counts it."""

    def __init__(self, count):
        self.count, self.input, self.content = count, b"", False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data):
        self.input += data
        said = b""
        while (end := self.input.find(b"\r\n.\r\n" if self.content else b"\r\n")) >= 0:
            said += self.hear(self.input[:end], end)
        self.transport.write(said)

    def hear(self, line, end):
        if self.content:
            self.input, self.content = self.input[end + 5:], False
            self.count.value += 1
            return b"250 taken\r\n"
        self.input = self.input[end + 2:]
        verb = line[:4].upper()
        self.content = verb == b"DATA"
        return {b"EHLO": b"250-sink\r\n250 PIPELINING\r\n", b"DATA": b"354 go on\r\n"}.get(verb, b"250 ok\r\n")


def serve(count):
    async def run():
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Sink(count), "127.0.0.1", SINK)
        await loop.create_server(asyncio.Protocol, "127.0.0.1", SILENT)
        await asyncio.Event().wait()

    asyncio.run(run())


def users():
    if os.geteuid() != 0:
        return {}
    return {role: "nobody" for role in ("smtpd", "queue", "delivery", "dns", "local", "auth", "keys")}


class Relay:
    def __init__(self, folder, name, port):
        self.name, self.port, self.folder = name, port, pathlib.Path(folder, name)
        self.folder.mkdir()
        self.folder.chmod(0o755)
        dead = SILENT if DEATH == "silent" else NOBODY
        config = self.folder / "tern.yaml"
        config.write_text(json.dumps({
            "hostname": "bench.test",
            "control": f"{self.folder}/control",
            "listen": [{"address": f"127.0.0.1:{port}"}],
            "spool": {"path": f"{self.folder}/spool"},
            "routes": [{"domain": "dead.test", "via": f"smtp://127.0.0.1:{dead}", "tls": "none"},
                       {"domain": "*", "via": f"smtp://127.0.0.1:{SINK}", "tls": "none"}],
            # So that the queue is tried again while the live mail runs.
            "retry": {"first": "10s", "longest": "10s"},
            "timeouts": {"greeting": "10s"},
            "dns": {"servers": ["127.0.0.1:9"]},
            "users": users(),
        }))
        with open(self.folder / "log", "wb") as log:
            self.master = subprocess.Popen([BUILD / "master/tern-master", "--config", config],
                                           stdin=subprocess.DEVNULL, stderr=log)

    def wait(self):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        sys.exit(f"{self.name} does not come up: {self.folder}/log")

    def stop(self):
        self.master.send_signal(signal.SIGTERM)
        self.master.wait(PATIENCE_S)

    def processes(self):
        """{role: seconds of processor time} of master's children."""
        listed = subprocess.run(["pgrep", "-P", str(self.master.pid)], capture_output=True, text=True,
                                check=True)
        times = {}
        for pid in listed.stdout.split():
            role = pathlib.Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("tern-")
            spent = sum(int(task.read_text().split()[0]) / 1e9
                        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))
            times[role] = times.get(role, 0) + spent
        return times


def fill(relay):
    envelopes = ((b"bulk%d@from.test" % (i % SENDERS), b"user%d@dead.test" % i) for i in range(QUEUE))
    asyncio.run(load(relay.port, envelopes))


def run_round(relay, count):
    goal = count.value + LIVE
    before, began = relay.processes(), time.monotonic()
    asyncio.run(load(relay.port, ((b"live@from.test", b"user%d@live.test" % i) for i in range(LIVE))))
    while count.value < goal:
        if time.monotonic() - began > PATIENCE_S:
            sys.exit(f"{relay.name}: {goal - count.value} messages do not arrive: {relay.folder}/log")
        time.sleep(0.001)
    took = time.monotonic() - began
    spent = {role: (cpu - before.get(role, 0)) * 1000 / LIVE for role, cpu in relay.processes().items()}
    return {"relay": relay.name, "messages_per_s": LIVE / took, "cpu_s_per_1000": sum(spent.values()),
            "cpu_s_per_1000_by_role": spent}


def file_system(folder):
    """As the other benchmarks name it: that of the longest mount point."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    path = pathlib.Path(folder).resolve()
    device, _, kind, options, *_ = max((m for m in mounts if path.is_relative_to(m[1])),
                                       key=lambda m: len(m[1]))
    if kind == "ext4":
        journals = pathlib.Path("/proc/fs/jbd2")
        journal = journals.exists() and any(journals.glob(f"{pathlib.Path(device).name}-*"))
        kind += " with a journal" if journal else " without a journal"
    return kind, options


def print_results(rows, folder):
    kind, options = file_system(folder)
    print(f"file system: {kind} ({options})")
    print(json.dumps({"v": 1, "file_system": kind, "options": options}))
    print(f"{'round':>5}  {'relay':<8} {'messages/s':>10}  {'CPU s/1000':>10}   of which")
    for i, row in enumerate(rows):
        by_role = ", ".join(f"{role} {cpu:.3f}" for role, cpu in sorted(row["cpu_s_per_1000_by_role"].items())
                            if cpu >= 0.0005)
        print(f"{i // 2 + 1:>5}  {row['relay']:<8} {row['messages_per_s']:>10.0f}  {row['cpu_s_per_1000']:>10.4f}   "
              f"{by_role}")
    for row in rows:
        print(json.dumps({"v": 1, "bench": "dead", "queue": QUEUE, "death": DEATH, **row}))
    total = {"v": 1, "bench": "dead", "queue": QUEUE, "death": DEATH}
    for key in ("messages_per_s", "cpu_s_per_1000"):
        without, with_queue = (statistics.median(row[key] for row in rows if row["relay"] == name)
                               for name in ("without", "with"))
        total |= {f"{key}_without": without, f"{key}_with": with_queue,
                  f"{key}_change_percent": 100 * (with_queue / without - 1)}
    print(f"medians with the queue: {total['messages_per_s_change_percent']:+.1f} % messages/s, "
          f"{total['cpu_s_per_1000_change_percent']:+.1f} % CPU for each")
    print(json.dumps(total))


def main():
    count = multiprocessing.Value("q", 0, lock=False)
    sink = multiprocessing.Process(target=serve, args=(count,), daemon=True)
    sink.start()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        relays = []
        try:
            for name in ("without", "with"):
                relays.append(Relay(folder, name, FIRST_PORT + len(relays)))
                relays[-1].wait()
            fill(relays[1])
            for relay in relays:  # one that does not count
                run_round(relay, count)
            rows = [run_round(relay, count) for i in range(ROUNDS) for relay in relays[::(-1) ** i]]
            print_results(rows, folder)
        finally:
            for relay in relays:
                relay.stop()
            sink.terminate()


if __name__ == "__main__":
    main()
