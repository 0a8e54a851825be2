"""Are the configurations that people copy right? Usage: examples.py SOURCE_ROOT EXECUTABLE...

"tern config check" reads each example of man/tern.yaml.5, and those of README.md as one file.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

import sources

ESCAPES = {r"\e": "\\", r"\(aq": "'", r"\(dq": '"', r"\(at": "@", r"\&": "", r"\-": "-"}
ESCAPE = re.compile("|".join(re.escape(e) for e in ESCAPES))


def of_manual(text):
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.M | re.S)
    return [ESCAPE.sub(lambda e: ESCAPES[e.group()], block) for block in blocks]


def of_readme(text):
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```$", text, re.M | re.S)
    return ["".join(textwrap.dedent(block) for block in blocks)] if blocks else []


def make_files(folder):
    """Stand-ins for the files that examples name, by what their names end in."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-subj", "/CN=mx1.example.org", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    return {"key": key, "": certificate}


def place_files(text, files):
    def place(path):
        stem = pathlib.Path(path.group()).stem
        return str(next(file for end, file in files.items() if stem.endswith(end)))

    return re.sub(r"/etc/tern/tls/[\w./-]+", place, text)


def place_users(text):
    """Users that there are; the start looks for them as root alone."""
    roles = ("smtpd", "queue", "delivery", "dns", "local", "auth", "keys", "tokens")
    users = ", ".join(f"{role}: nobody" for role in roles)
    return text if os.geteuid() != 0 else f"{text}\nusers: {{ {users} }}\n"


def check(tern, name, text):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(
            [tern, "config", "check", file.name], capture_output=True, text=True, check=False
        )
    return [] if done.returncode == 0 else [f"{name}:\n{text}{done.stderr}"]


def main(root, executables):
    tern = next(path for path in executables if pathlib.Path(path).name == "tern")
    examples = []
    for name, reader in (("man/tern.yaml.5", of_manual), ("README.md", of_readme)):
        found = reader((pathlib.Path(root) / name).read_text(encoding="utf-8"))
        examples += [(name, text) for text in found]
        if not found:
            print(f"{name}: no example was found")
            return 1
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(pathlib.Path(folder))
        complaints = [
            words
            for name, text in examples
            for words in check(tern, name, place_users(place_files(text, files)))
        ]
    return sources.report("examples", complaints, len(examples))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
