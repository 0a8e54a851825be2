"""The private network. Tern is this host: 127.0.0.1, ::1 and OWN. The remote servers live in REMOTE
and REMOTE6, which are routed to this host without being addresses of its interfaces."""
import os
import shutil
import subprocess

OWN = "192.0.2.25"
REMOTE = "198.51.100."
REMOTE6 = "2001:db8:25::"
WHY_NOT = "no network namespaces here: run as root, or allow them to ordinary users"

_MARK = "TERN_E2E_NETWORK"


def is_inside():
    return _MARK in os.environ


def is_root():
    return os.geteuid() == 0


def command_to_enter():
    """None: namespaces are not to be had."""
    options = ["--net", "--mount"]
    if not is_root():
        # Not as root of the namespace: Tern must see itself as the ordinary user that it is.
        options += ["--user", "--map-current-user", "--keep-caps"]
    command = [shutil.which("unshare") or "unshare", *options, "--"]
    try:
        subprocess.run(command + ["true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    os.environ[_MARK] = "1"
    return command


def furnish():
    for arguments in (
        "link set lo up",
        f"addr replace {OWN}/32 dev lo",
        f"route replace local {REMOTE}0/24 dev lo",
        "-6 addr replace fd00:25::1/128 dev lo",
        f"-6 route replace local {REMOTE6}/64 dev lo",
    ):
        subprocess.run(["ip", *arguments.split()], check=not arguments.startswith("-6"), capture_output=True)
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w", encoding="ascii") as f:
        f.write("0")


def without_capabilities():
    """For programs under test: what the namespace gave is for the tests alone."""
    if is_root():
        return []
    return ["setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--"]


def mount_small_disk(path, kib):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0755", "none", str(path)],
                   check=True)


def unmount(path):
    subprocess.run(["umount", "-l", str(path)], check=True)
