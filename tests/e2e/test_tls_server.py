"""TLS as clients see it: certificates by name, versions, ALPN, tickets, and what sslscan finds."""
import os
import signal
import ssl
import subprocess
import xml.etree.ElementTree

import pytest

from world import PATIENCE_S, make_certificate, namespace, wait_for


def context(**how):
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    for key, value in how.items():
        setattr(c, key, value)
    return c


def names_served(world, name):
    """Those of the certificate that a client gets which asks for `name`."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:465"]
        + (["-servername", name] if name else ["-noservername"]),
        input="QUIT\r\n", capture_output=True, text=True, timeout=PATIENCE_S)
    pem = done.stdout[done.stdout.index("-----BEGIN"):done.stdout.index("-----END")]
    done = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"],
                          input=pem + "-----END CERTIFICATE-----\n", capture_output=True, text=True,
                          timeout=PATIENCE_S)
    return done.stdout


def test_the_certificate_is_chosen_by_name(world):
    more = {}
    for name, other in (("b.test", "*.b.test"), ("c.test", "d.test")):
        certificate, key = make_certificate(world.folder, name, other)
        more[str(certificate)] = str(key)
    world.start_relay(tls={"certificates": more})
    assert "DNS:localhost" in names_served(world, None)
    assert "DNS:localhost" in names_served(world, "unknown.test")
    assert "DNS:b.test" in names_served(world, "b.test")
    assert "DNS:b.test" in names_served(world, "X.B.test")
    assert "DNS:c.test" in names_served(world, "d.test")


def test_a_further_certificate_that_does_not_fit_its_key_is_found_at_the_start(world):
    certificate, _ = make_certificate(world.folder, "b.test")
    _, key = make_certificate(world.folder, "c.test")
    world.configure(tls={"certificates": {str(certificate): str(key)}})
    status, words = world.start_in_vain()
    assert status == 78 and str(certificate) in words and "does not belong" in words


def test_alpn(world):
    world.start_relay()
    for offered, chosen in ((["smtp"], "smtp"), (["http/1.1", "esmtp"], "esmtp"), ([], None)):
        with world.connect(465) as c:
            ours = context()
            if offered:
                ours.set_alpn_protocols(offered)
            c.s = ours.wrap_socket(c.s)
            assert c.s.selected_alpn_protocol() == chosen
    with world.connect(465) as c:
        ours = context()
        ours.set_alpn_protocols(["h2", "http/1.1"])
        with pytest.raises(ssl.SSLError):
            ours.wrap_socket(c.s)


def test_the_oldest_version_can_be_set(world):
    older = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    world.start_relay()
    with world.connect(465) as c:
        assert older.wrap_socket(c.s).version() == "TLSv1.2"
    world.configure(tls={"minimum": "1.3"})
    world.reload()
    with world.connect(465) as c, pytest.raises(ssl.SSLError):
        older.wrap_socket(c.s)
    with world.connect(465) as c:
        assert context().wrap_socket(c.s).version() == "TLSv1.3"


def test_a_ticket_is_worth_nothing_at_another_listener(world):
    world.configure(listen=[{"address": f"127.0.0.1:{port}", "tls": "implicit"}
                            for port in (465, 466)])
    world.start_relay(workers={"smtpd": 3})
    ours = context(maximum_version=ssl.TLSVersion.TLSv1_2)

    def visit(port, session=None):
        with world.connect(port) as c:
            c.s = ours.wrap_socket(c.s, session=session)
            c.f = c.s.makefile("rb")
            assert c.reply().startswith("220") and c.command("QUIT").startswith("221")
            return c.s.session, c.s.session_reused
    session, _ = visit(465)
    # The system chooses the process: this many come to the one that gave the ticket with 1 in 3^20.
    assert all(visit(465, session)[1] for _ in range(20))
    assert not visit(466, session)[1]


def test_sslscan_finds_nothing(world):
    report = world.folder / "report.xml"
    world.start_relay()
    for arguments in (["127.0.0.1:465"], ["--starttls-smtp", "127.0.0.1:25"]):
        subprocess.run(["sslscan", "--no-colour", f"--xml={report}", *arguments], check=True,
                       capture_output=True, timeout=PATIENCE_S)
        found = xml.etree.ElementTree.parse(report).find("ssltest")
        enabled = {f"{p.get('type')}{p.get('version')}" for p in found.findall("protocol")
                   if p.get("enabled") == "1"}
        assert enabled == {"tls1.2", "tls1.3"}
        assert found.find("renegotiation").get("supported") == "0"
        assert all(f.get("supported") == "0" for f in found.findall("compression"))
        assert {h.get("vulnerable") for h in found.findall("heartbleed")} <= {"0"}
        ciphers = found.findall("cipher")
        assert ciphers and {c.get("strength") for c in ciphers} <= {"strong", "acceptable"}
        for cipher in ciphers:
            assert int(cipher.get("bits")) >= 128
            assert cipher.get("sslversion") == "TLSv1.3" or "DHE" in cipher.get("cipher")


def test_rsa_keys_sign_too(world):
    certificate, key = world.folder / "rsa.crt", world.folder / "rsa.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                    "/CN=rsa.test", "-keyout", str(key), "-out", str(certificate)], check=True,
                   capture_output=True, timeout=PATIENCE_S)
    key.chmod(0o600)
    world.start_relay(tls={"certificate": str(certificate), "key": str(key)})
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with world.connect(465) as c:
            c.s = context(maximum_version=version).wrap_socket(c.s)
            c.f = c.s.makefile("rb")
            assert c.reply().startswith("220")


def test_a_lost_keys_process_is_replaced(world):
    world.deaths_are_expected = True
    world.start_relay(workers={"smtpd": 1})
    os.kill(world.pids_of("keys")[0], 9)

    def shakes_hands():
        try:
            with world.connect(465) as c:
                context().wrap_socket(c.s)
            return True
        except OSError:
            return False
    wait_for(lambda: world.log.has("process_died", kind="keys"), "its end")
    wait_for(shakes_hands, "a handshake")


def test_keys_that_are_late_once_are_asked_again(world):
    world.start_relay(workers={"smtpd": 1})
    keys = world.pids_of("keys")[0]
    os.kill(keys, signal.SIGSTOP)
    try:
        with pytest.raises(OSError), world.connect(465) as c:
            context().wrap_socket(c.s)
    finally:
        os.kill(keys, signal.SIGCONT)
    world.log.wait("keys_late")
    with world.connect(465, tls=True) as c:
        c.hello()
    with world.connect(2525) as c:
        c.hello()
        c.start_tls()
        assert c.command("EHLO client.test").startswith("250")
    assert not world.log.has("keys_lost")


LARGE = 1 << 28  # bytes


def memory_of(pid):
    """What a process has written to, or could."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            place, rights = line.split()[:2]
            start, end = (int(n, 16) for n in place.split("-"))
            if "w" not in rights or "[v" in line or end - start > LARGE:  # a sanitizer's map
                continue
            memory.seek(start)
            yield memory.read(end - start)


def test_no_process_that_meets_clients_has_the_private_key(world):
    if not namespace.is_root():
        pytest.skip("only root may read the memory of processes")
    world.start_relay()
    with world.connect(465) as c:
        context().wrap_socket(c.s)
    done = subprocess.run(["openssl", "ec", "-in", str(world.settings["tls"]["key"]), "-noout", "-text"],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    digits = done.stdout.split("priv:")[1].split("pub:")[0]
    secret = bytes.fromhex("".join(digits.split()).replace(":", ""))[-32:]

    def has_secret(pid):
        return any(secret in block or secret[::-1] in block for block in memory_of(pid))
    assert has_secret(world.pids_of("keys")[0])
    for role in ("smtpd", "queue", "delivery", "dns", "local"):
        for pid in world.pids_of(role):
            assert not has_secret(pid), role
