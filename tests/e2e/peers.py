"""Mail servers whose Debian packages exclude one another. Each is unpacked into a copy of this system
that exists only in the test: an overlay, entered by chroot. script/test fetches the packages."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import namespace

FETCHED = Path(__file__).parents[2] / "build" / "peers"


class Overlay:
    """This system with a package more, and with users of its own."""

    def __init__(self, world, package, users):
        debs = sorted(FETCHED.glob(package + "_*.deb"))
        if not debs:
            why = f"needs the package {package} in {FETCHED}: ./script/test fetches it"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
        if not namespace.is_root():
            pytest.skip("needs root: mounts an overlay")
        self.layers = world.folder / package
        self.layers.mkdir()
        self.mount("-t", "tmpfs", "none", str(self.layers))
        for name in ("upper", "work", "root"):
            (self.layers / name).mkdir()
        self.root = self.layers / "root"
        self.mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.layers}/upper,"
                   f"workdir={self.layers}/work", str(self.root))
        self.mount("--rbind", "/dev", str(self.root / "dev"))
        self.mount("-t", "proc", "proc", str(self.root / "proc"))
        # As dpkg does, but for /lib, which a package may bring and which is a link here.
        files = subprocess.run(["dpkg-deb", "--fsys-tarfile", debs[-1]], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", self.root], check=True,
                       input=files.stdout)
        for number, name in enumerate(users, 950):
            with open(self.root / "etc" / "passwd", "a", encoding="ascii") as f:
                f.write(f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n")
            with open(self.root / "etc" / "group", "a", encoding="ascii") as f:
                f.write(f"{name}:x:{number}:\n")
        # Names are looked up nowhere: the tests' name server is Tern's alone.
        (self.root / "etc" / "nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")
        self.started = []

    @staticmethod
    def mount(*arguments):
        subprocess.run(["mount", *arguments], check=True, capture_output=True)

    def write(self, path, text, owner=None, mode=0o644):
        path = self.root / path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.own(path, owner, mode)

    def folder(self, path, owner=None, mode=0o755):
        path = self.root / path.lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        self.own(path, owner, mode)
        return path

    @staticmethod
    def own(path, owner, mode):
        path.chmod(mode)
        if owner is not None:
            shutil.chown(path, *owner)

    def run(self, *command):
        return subprocess.run(["chroot", self.root, *command], capture_output=True, text=True, timeout=60)

    def start(self, world, *command):
        with open(self.layers / "output", "ab") as output:
            process = subprocess.Popen(["chroot", self.root, *command], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)
        world.launched.append(process)
        self.started.append(process)

    def output(self):
        return (self.layers / "output").read_text(errors="replace")

    def close(self):
        for process in self.started:
            process.terminate()
            process.wait(60)
        subprocess.run(["umount", "-R", "-l", self.layers], check=True, capture_output=True)
