"""Logins by client certificate: AUTH EXTERNAL."""
import base64
import hashlib
import ssl
import subprocess

from test_tls_server import context
from world import PATIENCE_S


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE_S)


class Authority:
    def __init__(self, folder, name):
        self.folder = folder
        self.key, self.certificate = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "30", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, extension=None):
        """(certificate, key) of a client."""
        key, request, certificate, more = (
            str(self.folder / f"{name}.{what}") for what in ("key", "csr", "pem", "ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={name}", "-keyout", key, "-out", request)
        with open(more, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={extension}\n" if extension else "basicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-days", "30", "-extfile", more, "-out", certificate)
        return certificate, key


def under_tls(world, certificate=None):
    c = world.connect(465)
    ours = context()
    if certificate:
        ours.load_cert_chain(*certificate)
    c.s = ours.wrap_socket(c.s)
    c.f = c.s.makefile("rb")
    assert c.reply().startswith("220")
    return c, c.command("EHLO client.test")


def fingerprint(certificate):
    with open(certificate[0], encoding="ascii") as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())

    return "sha256:" + hashlib.sha256(der).hexdigest().upper()


def test_a_certificate_is_a_login(world):
    ours, theirs = Authority(world.folder, "ours"), Authority(world.folder, "theirs")
    printer = ours.issue("printer", "DNS:printer.test")
    ann = ours.issue("ann", "email:ann@here.test")
    plain = ours.issue("plain")
    common = ours.issue("printer.test")     # only in the subject
    wild = ours.issue("wild", "DNS:*.test")
    forged = theirs.issue("forged", "DNS:printer.test")
    unlisted = ours.issue("unlisted", "DNS:other.test")
    there = world.domain("there.test")
    world.start_relay(trust=["192.0.2.0/24"], auth={
        "client-ca": ours.certificate,
        "certificates": {"printer.test": "printer", "ann@here.test": "ann@here.test",
                         fingerprint(plain): "plain"},
        "senders": {"printer": ["scan@here.test"]}})
    for certificate, login, sender in ((printer, "printer", "scan@here.test"),
                                       (ann, "ann@here.test", "ann@here.test"),
                                       (plain, "plain", "plain@here.test")):
        c, words = under_tls(world, certificate)
        assert words.endswith("250 AUTH EXTERNAL")
        assert c.command("AUTH EXTERNAL =").startswith("235 2.7.0 ")
        c.begin(sender, "b@there.test")
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert c.reply().startswith("250")
        assert world.log.wait("login_accepted", login=login)["mechanism"] == "EXTERNAL"
        c.close()
    there.wait(3)
    for certificate in (None, common, wild, forged, unlisted):
        c, words = under_tls(world, certificate)
        assert "AUTH" not in words
        assert c.command("AUTH EXTERNAL =").startswith("502 5.5.1 ")
        assert c.command("MAIL FROM:<scan@here.test>").startswith("250")
        assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1 ")
        c.close()


def test_external_wants_no_other_identity(world):
    ours = Authority(world.folder, "ours")
    ann = ours.issue("ann", "email:ann@here.test")
    world.start_relay(trust=["192.0.2.0/24"], auth={
        "client-ca": ours.certificate, "certificates": {"ann@here.test": "ann"}})
    c, _ = under_tls(world, ann)
    other = base64.b64encode(b"root").decode()
    assert c.command(f"AUTH EXTERNAL {other}").startswith("535 5.7.8 ")
    assert c.command("AUTH PLAIN AGEAYg==").startswith("504 5.5.4 ")
    assert c.command("AUTH EXTERNAL") == "334 "
    assert c.command("*").startswith("501")
    assert c.command("AUTH EXTERNAL") == "334 "
    assert c.command(base64.b64encode(b"ann").decode()).startswith("235 2.7.0 ")
    c.close()


def test_msmtp_logs_in_with_its_certificate(world):
    ours = Authority(world.folder, "ours")
    certificate, key = ours.issue("ann", "email:ann@here.test")
    there = world.domain("there.test")
    world.start_relay(trust=["192.0.2.0/24"], auth={
        "client-ca": ours.certificate, "certificates": {"ann@here.test": "ann"}})
    done = subprocess.run(
        ["msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port=465", "--tls=on",
         "--tls-starttls=off", "--tls-certcheck=off", "--auth=external", "--user=ann",
         f"--tls-cert-file={certificate}", f"--tls-key-file={key}", "--from=ann@here.test",
         "b@there.test"], input="Subject: x\n\nx\n", capture_output=True, text=True,
        timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    there.wait_message()
