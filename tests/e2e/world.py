"""The relay under test and everything around it."""
import contextlib
import ctypes
import json
import os
import pwd
import re
import resource
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import time
from pathlib import Path

import namespace
from fakedns import ADDRESS as DNS_ADDRESS
from fakedns import FakeDns
from sink import Sink

PATIENCE_S = 90  # generous: only a test that fails waits so long
HOSTNAME = "mx.tern.test"
# The search for leaks at a process's end traces it, which no sandbox allows; the unit tests do it.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


def wait_for(condition, what, timeout=PATIENCE_S):
    """The first true value of `condition`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(0.02)


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def make_certificate(folder, name, *more):
    """(certificate, key): self-signed, for these names."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    names = ",".join("DNS:" + n for n in (name, *more))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}",
         "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def parse_line(line):
    """key=value pairs; a value with blanks or odd bytes is a JSON string."""
    fields = {}
    for match in re.finditer(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line):
        value = match[2]
        if value.startswith('"'):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        fields[match[1]] = value
    return fields


class Log:
    def __init__(self, path):
        self.path = path
        path.touch()

    def text(self):
        return self.path.read_text(encoding="utf-8", errors="replace")

    def find(self, event=None, **fields):
        """Lines with this event and these values; a compiled pattern is searched for."""
        found = []
        for line in self.text().splitlines():
            have = parse_line(line)
            if event is not None and have.get("event") != event:
                continue
            if all(want.search(have.get(key, "")) if isinstance(want, re.Pattern)
                   else have.get(key) == str(want) for key, want in fields.items()):
                found.append(have)
        return found

    def has(self, event=None, **fields):
        return bool(self.find(event, **fields))

    def wait(self, event=None, count=1, **fields):
        """The last line of at least `count`."""
        wait_for(lambda: len(self.find(event, **fields)) >= count,
                 lambda: f"{count} x event={event} {fields} in the log:\n{self.text()[-4000:]}")
        return self.find(event, **fields)[-1]


class Mailbox:
    def __init__(self, path):
        self.path = path

    def files(self):
        folder = self.path / "new"
        return sorted(folder.iterdir()) if folder.exists() else []

    def messages(self):
        return [f.read_bytes() for f in self.files()]

    def wait(self, count=1):
        wait_for(lambda: len(self.files()) >= count,
                 lambda: f"{count} messages in {self.path}, there are {len(self.files())}")
        return self.messages()

    def wait_message(self):
        return self.wait()[0]


class RawClient:
    """An SMTP client without manners: sends exactly the bytes it is told to."""

    def __init__(self, port=2525, host="127.0.0.1", source=None, tls=False):
        self.s = socket.create_connection(
            (host, port), PATIENCE_S, source_address=(source, 0) if source else None)
        if tls:
            self.wrap()
        self.f = self.s.makefile("rb")

    def wrap(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.s = context.wrap_socket(self.s)

    def start_tls(self):
        assert self.command("STARTTLS").startswith("220")
        self.wrap()
        self.f = self.s.makefile("rb")

    def send(self, data):
        self.s.sendall(data)

    def reply(self):
        """A whole reply, lines joined by newlines; "" when the connection has ended."""
        lines = []
        while True:
            try:
                line = self.f.readline().decode("latin-1")
            except ConnectionResetError:
                line = ""
            if line == "":
                return ""
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def command(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def hello(self):
        assert (greeting := self.reply()).startswith("220"), greeting
        assert (words := self.command("EHLO client.test")).startswith("250"), words
        return words

    def begin(self, sender, *recipients):
        """Up to the 354."""
        assert (words := self.command(f"MAIL FROM:<{sender}>")).startswith("250"), words
        for recipient in recipients:
            assert (words := self.command(f"RCPT TO:<{recipient}>")).startswith("250"), words
        assert (words := self.command("DATA")).startswith("354"), words

    def close(self):
        self.f.close()
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class World:
    def __init__(self, folder, build, certificates):
        self.folder = folder
        self.build = build
        self.certificates = certificates
        self.dns = FakeDns()
        self.sinks = []
        self.log = Log(folder / "log")
        self.config_path = folder / "tern.yaml"
        self.spool = folder / "spool"
        self.maildirs = folder / "mail"
        self.master = None
        self.descriptors = None  # a limit for every process of Tern
        self.environment = dict(ENVIRONMENT)
        self.launched = []
        self.deaths_are_expected = False
        self.damage_is_expected = False
        self._next_host = 10
        certificate, key = (shutil.copy(f, folder) for f in certificates)
        os.chmod(key, 0o600)
        self.settings = {
            "hostname": HOSTNAME,
            "control": str(folder / "run" / "control"),
            "listen": [
                {"address": "127.0.0.1:25"},
                {"address": f"{namespace.OWN}:25"},
                {"address": "127.0.0.1:465", "tls": "implicit"},
                {"address": "127.0.0.1:2525"},
            ],
            "trust": ["127.0.0.1/32"],
            "tls": {"certificate": certificate, "key": key},
            "domains": {"here.test": {"deliver": "maildir"}},
            "mailboxes": {"alice@here.test": "alice", "bob@here.test": "bob",
                          "postmaster": "postmaster"},
            "maildir": {"root": str(self.maildirs)},
            "spool": {"path": str(self.spool), "segment": "4M", "reserve": "1M"},
            "dns": {"servers": [DNS_ADDRESS], "timeout": "2s", "tries": 2},
        }
        if namespace.is_root():
            self.settings["users"] = {
                role: "nobody" for role in ("smtpd", "queue", "delivery", "dns", "local", "auth", "keys")}

    def close(self, failed):
        status = None
        if self.master is not None:
            if self.master.poll() is None:
                self.master.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self.master.wait(PATIENCE_S)
            if status is None:
                self.kill()
        for process in self.launched:
            if process.poll() is None:  # a test that failed has forgotten it
                process.kill()
                process.wait()
        for sink in self.sinks:
            sink.close()
        self.dns.close()
        for words in ("runtime error: ", "Sanitizer: "):  # of a sanitized build
            assert words not in self.log.text(), self.log.text()
        if failed or self.master is None:
            return
        assert status == 0, f"tern-master ended with {status} after SIGTERM\n{self.log.text()}"
        for event in ("peer_broke_the_rules", "commit_invalid", "loop_failed"):
            assert not self.log.has(event), self.log.find(event)
        assert self.damage_is_expected or not self.log.has("message_damaged")
        for sign in ("runtime error:", "AddressSanitizer"):
            assert sign not in self.log.text(), self.log.text()
        if not self.deaths_are_expected:
            assert not self.log.has("process_died"), self.log.text()
        for sink in self.sinks:
            assert sink.complaints == []

    # the relay

    def configure(self, **sections):
        """Sections that are maps are merged, everything else is replaced."""
        for name, value in sections.items():
            if isinstance(value, dict) and isinstance(self.settings.get(name), dict):
                self.settings[name] = {**self.settings[name], **value}
            else:
                self.settings[name] = value

    def write_config(self):
        # JSON is YAML too.
        self.config_path.write_text(json.dumps(self.settings, indent=2) + "\n")

    def command(self):
        return namespace.without_capabilities() + [
            str(self.build / "master" / "tern-master"), "--config", str(self.config_path)]

    def launch(self, config=True):
        if config:
            self.write_config()

        def prepare():
            die_with_parent()
            if self.descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))
        with open(self.log.path, "ab") as log:
            self.master = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, preexec_fn=prepare, env=self.environment)
        self.launched.append(self.master)

    def start_relay(self, **sections):
        self.configure(**sections)
        before = len(self.log.find("ready", process="master"))
        self.launch()
        wait_for(lambda: len(self.log.find("ready", process="master")) > before
                 or self.master.poll() is not None,
                 lambda: "the relay to be ready:\n" + self.log.text())
        assert self.master.poll() is None, self.log.text()

    def start_in_vain(self):
        """For a start that must fail: (exit status, what it said)."""
        before = len(self.log.text())
        self.launch(config=True)
        try:
            status = self.master.wait(PATIENCE_S)
        finally:
            self.kill()
            self.master = None
        return status, self.log.text()[before:]

    def stop_relay(self):
        self.master.send_signal(signal.SIGTERM)
        assert self.master.wait(PATIENCE_S) == 0, self.log.text()
        self.master = None

    def kill(self):
        """All of Tern at once, as when the power goes."""
        if self.master is None:
            return
        victims = [self.master.pid]
        if self.master.poll() is None:
            self.master.send_signal(signal.SIGSTOP)
            victims += self.children()
        for stop in (signal.SIGSTOP, signal.SIGKILL):
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
        self.master.wait(PATIENCE_S)
        wait_for(lambda: not any(map(is_alive, victims)), "the processes to be gone")

    def reload(self):
        """Writes the settings and waits until they are taken or refused."""
        def outcomes():
            return self.log.find("reloaded") + self.log.find("reload_failed")
        before = len(outcomes())
        self.write_config()
        self.master.send_signal(signal.SIGHUP)
        wait_for(lambda: len(outcomes()) > before, lambda: "the reload:\n" + self.log.text())

    def children(self):
        pids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text()
                    state, parent = stat.rpartition(")")[2].split()[:2]
                    if int(parent) == self.master.pid and state != "Z":
                        pids.append(int(entry.name))
        return pids

    def pids_of(self, role):
        found = []
        for pid in self.children():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == f"tern-{role}":
                    found.append(pid)
        return found

    # the admin command

    def tern(self, *arguments, config=True):
        command = namespace.without_capabilities() + [str(self.build / "tools" / "tern")]
        if config:
            command += ["--config", str(self.config_path)]
        return subprocess.run(command + list(arguments), capture_output=True, text=True,
                              env=ENVIRONMENT,
                              timeout=PATIENCE_S)

    @staticmethod
    def run_as(uid, command):
        return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--",
                               *command], capture_output=True, text=True, timeout=PATIENCE_S)

    def queue(self, *filters):
        done = self.tern("queue", "list", "--json", *filters)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def show(self, message):
        done = self.tern("queue", "show", message, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def cat(self, message):
        command = [str(self.build / "tools" / "tern"), "--config", str(self.config_path)]
        done = subprocess.run(namespace.without_capabilities() + command + ["queue", "cat", message],
                              capture_output=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self):
        done = self.tern("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait_queue(self, condition, *filters):
        """The rows of the queue once `condition` holds for them."""
        rows = []

        def check():
            rows[:] = self.queue(*filters)
            return condition(rows)
        wait_for(check, lambda: f"the queue; it has {rows}")
        return rows

    def wait_deferred(self, *filters):
        """The row of a message that waits for its next attempt."""
        return self.wait_queue(lambda rows: rows and rows[0]["state"] in ("deferred", "waiting"),
                               *filters)[0]

    def wait_empty_queue(self):
        self.wait_queue(lambda rows: not rows)

    # other hosts

    def host(self, name, address=None):
        """A host that exists, with nothing listening."""
        if address is None:
            address = namespace.REMOTE + str(self._next_host)
            self._next_host += 1
        self.dns.add(name, "AAAA" if ":" in address else "A", address)
        return address

    def hole(self, name, address=None):
        """A host that never answers a connection: its backlog of one is full."""
        address = self.host(name, address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        s.bind((address, 25))
        s.listen(0)
        self.guests = [socket.socket(family, socket.SOCK_STREAM) for _ in range(3)]
        for guest in self.guests:
            guest.setblocking(False)
            guest.connect_ex((address, 25))
        return s

    def sink(self, name, address=None, **manners):
        """A mail server of that name; `manners` are those of class Sink."""
        sink = Sink(self.host(name, address), manners.pop("certificate", self.certificates),
                    **manners)
        self.sinks.append(sink)
        return sink

    def domain(self, name, **manners):
        """A domain with one mail server."""
        self.dns.mx(name, (10, "mx." + name))
        return self.sink("mx." + name, **manners)

    # files

    def give_away(self, path):
        """To the user that the roles run as."""
        if namespace.is_root():
            nobody = pwd.getpwnam("nobody")
            for entry in [path, *path.rglob("*")]:
                os.chown(entry, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)

    def other_certificate(self):
        return make_certificate(self.folder, "other.test")

    # clients

    def send(self, sender, recipients, content=b"Subject: hello\r\n\r\nhello\r\n", port=2525,
             options=()):
        """Submits as a polite client; the id of the message."""
        if isinstance(recipients, str):
            recipients = [recipients]
        with smtplib.SMTP("127.0.0.1", port, "client.test", PATIENCE_S) as client:
            client.ehlo()
            for code, words in [client.mail(sender, options), *map(client.rcpt, recipients),
                                client.data(content)]:
                assert code == 250, (code, words)
        return re.search(rb"\b[0-9a-f]{16}\b", words)[0].decode()

    def connect(self, port=2525, **how):
        return RawClient(port, **how)

    def mailbox(self, name):
        return Mailbox(self.maildirs / name)
