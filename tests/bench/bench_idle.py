#!/usr/bin/python3
"""What an idle connection costs: opens many to a relay of its own, each greeted and past EHLO, and
prints the memory of the smtpd processes for each.

    tests/bench/bench_idle.py [CONNECTIONS [BUILD]]"""
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
BUILD = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else
                     pathlib.Path(__file__).parents[2] / "build").resolve()
PORT = 2599
PATIENCE_S = 60


def settings(folder):
    text = {
        "hostname": "idle.test",
        "control": f"{folder}/control",
        "listen": [{"address": f"127.0.0.1:{PORT}"}],
        "spool": {"path": f"{folder}/spool", "segment": "1M", "big-body": "64K"},
        "limits": {"connections": 100000, "connections-per-client": 100000},
        "dns": {"servers": ["127.0.0.1:9"]},
    }
    if os.geteuid() == 0:
        text["users"] = {role: "nobody" for role in ("smtpd", "queue", "delivery", "dns", "local", "auth",
                                             "keys")}
    return json.dumps(text)


def smtpd_pids(master):
    listed = subprocess.run(["pgrep", "-P", str(master), "-x", "tern-smtpd"], capture_output=True,
                            text=True, check=True)
    return [int(pid) for pid in listed.stdout.split()]


def private_bytes(pids):
    """What is theirs alone: not the code, nor what they share."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty:", "Private_Clean:", "SwapPss:")):
                total += int(line.split()[1]) * 1024
    return total


def open_one():
    for _ in range(PATIENCE_S * 10):
        try:
            s = socket.create_connection(("127.0.0.1", PORT), PATIENCE_S)
        except ConnectionRefusedError:
            time.sleep(0.1)
            continue
        assert s.recv(200).startswith(b"220 ")
        s.sendall(b"EHLO idle.test\r\n")
        assert s.recv(2000).startswith(b"250-")
        return s
    sys.exit("the relay does not come up")


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(COUNT + 100, most), most))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        config = pathlib.Path(folder, "tern.yaml")
        config.write_text(settings(folder))
        with open(f"{folder}/log", "wb") as log:
            master = subprocess.Popen([BUILD / "master/tern-master", "--config", config],
                                      stdin=subprocess.DEVNULL, stderr=log)
        try:
            open_one().close()
            pids = smtpd_pids(master.pid)
            before = private_bytes(pids)
            held = [open_one() for _ in range(COUNT)]
            after = private_bytes(pids)
            print(f"{len(held)} idle connections: {(after - before) // len(held)} bytes each, "
                  f"{(after - before) / 2**20:.1f} MiB in all, {len(pids)} smtpd processes")
        finally:
            master.send_signal(signal.SIGTERM)
            master.wait(PATIENCE_S)


main()
