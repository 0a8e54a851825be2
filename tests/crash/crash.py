"""Stops the store at every system call that changes the disk, and looks what is left.

Usage: crash.py KEEPER STOP_LIBRARY HOW [STEP [MESSAGES]]

HOW is kill, tear, power, EIO, ENOSPC or EROFS (stop.c). For k = 1, 1 + STEP ... a store is filled and stopped
at its k-th call, then opened again: every message that was promised must be there and whole, and none that
was not offered. It ends when a run is not stopped any more.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile

FEW = 60  # messages: enough to fill several segments and have some used again
MANY = 300  # and to have compaction empty some
ENDLESS = 5000
# So many calls fail one after another; a disk that takes no writes takes none for a while.
COUNTS = {"kill": (1,), "tear": (1,), "power": (1,), "EROFS": (6,)}
DAMAGE = (b"record_damaged", b"segment_damaged", b"segment_short", b"log_lost")
ENDS = ("kill", "tear", "power")  # the run does not outlive the call


def keeper(program, library, how, k, verb, spool, *words, promises=None, count=1):
    env = dict(os.environ, STOP_AT=str(k), STOP_HOW=how, STOP_COUNT=str(count))
    if k:
        env["LD_PRELOAD"] = library
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + env.get("ASAN_OPTIONS", "")
    return subprocess.run(
        [program, verb, spool, *words], input=promises, env=env, capture_output=True, timeout=60
    )


def complain(k, what, *runs):
    print(f"k = {k}: {what}")
    for run in runs:
        print(run.stdout.decode(errors="replace")[-2000:], run.stderr.decode(errors="replace")[-4000:])
    sys.exit(1)


def may_refuse(how, run):
    """Whether it did not start because the disk failed, and said so."""
    words = os.strerror(getattr(errno, how)).encode()
    return b"stopped " in run.stderr and b"cannot " in run.stderr and words in run.stderr


def trial(program, library, how, k, folder, count, messages):
    """Whether the run was stopped."""
    spool = os.path.join(folder, "spool")
    shutil.rmtree(spool, ignore_errors=True)
    promises = b""
    stopped = False
    # The first stop may be in a new spool, the second one in a spool that has been stopped before.
    for life in range(2):
        run = keeper(program, library, how, k, "run", spool, str(life * 1000), str(messages),
                     count=count)
        promises += run.stdout
        killed = run.returncode == -signal.SIGKILL
        refused_to_start = run.returncode == 2 and how not in ENDS and may_refuse(how, run)
        if run.returncode != 0 and not killed and not refused_to_start:
            complain(k, f"exit status {run.returncode}", run)
        stopped = stopped or killed or refused_to_start or b"spool_write_failed" in run.stderr
        check = keeper(program, library, how, 0, "check", spool, promises=promises)
        if check.returncode != 0:
            complain(k, "a promise was broken", run, check)
        if any(event in check.stderr for event in DAMAGE):
            complain(k, "a crash was taken for damage", run, check)
        # What the check added was not offered by a run.
        promises += b"".join(l + b"\n" for l in check.stdout.split(b"\n")
                             if l.startswith((b"try", b"kept")))
    return stopped


def count_calls(program, library, folder, messages):
    env = dict(os.environ, STOP_REPORT="1", LD_PRELOAD=library)
    env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + env.get("ASAN_OPTIONS", "")
    run = subprocess.run([program, "run", os.path.join(folder, "first"), "0", str(messages)],
                         env=env, capture_output=True, timeout=60)
    if run.returncode != 0:
        complain(0, f"exit status {run.returncode}", run)
    if messages >= MANY and b"emptied 0" in run.stdout:
        complain(0, "no segment was emptied", run)
    return int(run.stderr.split(b"calls ")[-1].split()[0])


def main(program, library, how, step="1", messages=FEW):
    messages = int(messages)
    with tempfile.TemporaryDirectory(prefix="tern-crash-") as folder:
        calls = count_calls(program, library, folder, messages)
        if calls < 50:
            complain(0, f"only {calls} calls were counted")
        k = 1
        # The number of calls differs a little from run to run, with the threads.
        while k <= calls or (how in ENDS and trial(program, library, how, k, folder, 1, messages)):
            for count in COUNTS.get(how, (1, 2)):
                trial(program, library, how, k, folder, count, messages)
            k += int(step)
            if k > ENDLESS:
                complain(k, "no end")
    print(f"{how}: {calls} calls, stopped at every {step}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
