"""The linker's proof of who can parse what. Usage: libraries.py READELF EXECUTABLE...

All of our executables must be given. A library that an executable does not need cannot
bring its faults into that process.
"""

import pathlib
import re
import subprocess
import sys

TLS = {"libssl", "libcrypto"}
DNS = {"libcares"}
PATTERNS = {"libpcre2-8"}
IDN = {"libidn2"}

# (must not need, must need)
RULES = {
    # Compiles the patterns of mailboxes, to check them; matches nothing.
    "tern-master": (TLS | DNS | IDN, set()),
    "tern-smtpd": (DNS | IDN, {"libssl"}),
    "tern-queue": (TLS | DNS | PATTERNS | IDN, set()),
    "tern-delivery": (DNS | PATTERNS, {"libssl"} | IDN),
    "tern-dns": (TLS | PATTERNS | IDN, DNS),
    # Matches the patterns of mailboxes.
    "tern-local": (TLS | DNS | IDN, set()),
    # Signs; speaks no TLS.
    "tern-keys": ({"libssl"} | DNS | PATTERNS | IDN, {"libcrypto"}),
    # Checks passwords; speaks no TLS.
    "tern-auth": ({"libssl"} | DNS | PATTERNS | IDN, {"libcrypto"}),
    # Reads what commands print; knows nothing else.
    "tern-tokens": (TLS | DNS | PATTERNS | IDN, set()),
    "tern": (DNS, set()),
}

NEEDED = re.compile(r"\(NEEDED\).*\[(lib[^\]]*?)\.so[^\]]*\]")


def needed_libraries(readelf, executable):
    output = subprocess.run(
        [readelf, "--dynamic", "--wide", executable], check=True, capture_output=True, text=True
    ).stdout
    return set(NEEDED.findall(output))


def complain(name, needed):
    forbidden, wanted = RULES[name]
    if not needed:
        yield f"{name}: needs no library at all; is it an executable of ours?"
        return
    for library in sorted(needed & forbidden):
        yield f"{name}: must not need {library}"
    for library in sorted(wanted - needed):
        yield f"{name}: does not need {library}, which it should"


def main(readelf, executables):
    complaints = []
    paths = {pathlib.Path(executable).name: executable for executable in executables}
    for name in sorted(RULES.keys() | paths.keys()):
        if name not in paths:
            complaints.append(f"{name}: missing")
        elif name not in RULES:
            complaints.append(f"{name}: no rule says what it may need")
        else:
            complaints += complain(name, needed_libraries(readelf, paths[name]))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
