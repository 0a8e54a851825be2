"""A private Dovecot with the configuration that Tern ships, for the people's side of a mailbox."""
import os
import pwd
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import namespace
from world import wait_for

DOVECOT = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin:/bin")
SHIPPED = Path(__file__).parents[2] / "etc" / "dovecot" / "tern.conf"
PASSWORD = "opensesame"
PORTS = (110, 143, 993, 995)

# What a test's world needs to be different; it stands before what is shipped.
BEFORE = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = 127.0.0.1
ssl_cert = <{certificate}
ssl_key = <{key}
default_internal_user = dovecot
default_login_user = dovenull
"""


class Dovecot:
    def __init__(self, world, more=""):
        self.world = world
        self.folder = world.folder / "dovecot"
        self.folder.mkdir()
        self.config = self.folder / "dovecot.conf"
        self.users = self.folder / "users"
        self.lmtp = self.folder / "run" / "lmtp"
        self.write_config(more)
        self.process = None

    def write_config(self, more):
        certificate, key = self.world.certificates
        shipped = SHIPPED.read_text()
        for was, becomes in (("/etc/dovecot/tern-users", str(self.users)),
                             ("/var/mail/tern", str(self.world.maildirs)),
                             ("tern-local", "nobody"), ("tern-delivery", "nobody")):
            assert was in shipped
            shipped = shipped.replace(was, becomes)
        # The group of nobody has another name.
        shipped = re.sub(r"mail_gid = \S+", f"mail_gid = {pwd.getpwnam('nobody').pw_gid}", shipped)
        self.config.write_text(
            BEFORE.format(folder=self.folder, certificate=certificate, key=key) + shipped + more)

    def add_user(self, address):
        with open(self.users, "a", encoding="ascii") as f:
            f.write(f"{address}:{{PLAIN}}{PASSWORD}\n")
        os.chmod(self.users, 0o644)
        local, _, domain = address.partition("@")
        (self.world.maildirs / domain / local).mkdir(parents=True, exist_ok=True)
        self.world.give_away(self.world.maildirs)

    def start(self):
        self.process = subprocess.Popen([DOVECOT, "-F", "-c", str(self.config)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.world.launched.append(self.process)

        def listens():
            assert self.process.poll() is None, self.process.stderr.read()
            try:
                for port in PORTS:
                    socket.create_connection(("127.0.0.1", port), 10).close()
                return True
            except OSError:
                return False
        wait_for(listens, lambda: "Dovecot: " + self.log())

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def dovecot(world):
    if DOVECOT is None:
        pytest.skip("needs Dovecot (Debian packages dovecot-imapd, dovecot-pop3d, dovecot-lmtpd)")
    if not namespace.is_root():
        pytest.skip("needs root: Dovecot changes users")
    d = Dovecot(world)
    yield d
    if d.process is not None:
        d.stop()
