"""The ladder of folders: who may include whom. Usage: includes.py SOURCE_ROOT

A folder includes itself and what stands below it, written from the root, and a file
includes its own header first. Roles never include each other. Libraries of others are
known in one folder only, and mail makes no system calls.
"""

import re
import sys

import sources

LADDER = {
    "common": {"common"},
    "io": {"common", "io"},
    "mail": {"common", "mail"},
    "ipc": {"common", "io", "mail", "ipc"},
}
LADDER.update({role: {"common", "io", "mail", "ipc", role} for role in sources.ROLES})

# Whoever parses with these is the only one who can be hurt by them.
AT_HOME = [
    (re.compile(r"ares[a-z_]*\.h"), "dns"),
    (re.compile(r"pcre2.*\.h"), "mail"),
    (re.compile(r"libfyaml\.h"), "io"),
    (re.compile(r"seccomp\.h"), "io"),
]
SYSTEM_CALLS = re.compile(r"(unistd|fcntl|poll|netdb|pthread|threads|dirent|spawn)\.h|sys/.*")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>)', re.M)


def complain_ours(root, folder, path, name):
    parts = name.split("/")
    if parts[0] not in LADDER or len(parts) < 2 or ".." in parts:
        return f'"{name}" is not written from the root'
    if parts[0] not in LADDER[folder]:
        return f'"{name}": {folder} must not include {parts[0]}'
    if not name.endswith(".h"):
        return f'"{name}" is no header'
    if not (root / name).is_file():
        return f'"{name}" does not exist'
    return None


def complain_theirs(folder, name):
    for pattern, home in AT_HOME:
        if pattern.fullmatch(name) and folder != home:
            return f"<{name}> belongs to {home}"
    if folder == "mail" and SYSTEM_CALLS.fullmatch(name):
        return f"<{name}>: mail makes no system calls"
    return None


def complain(root, folder, path, text):
    own = path.with_suffix(".h").as_posix()
    first = True
    for match in INCLUDE.finditer(text):
        ours, theirs = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if ours is not None:
            words = complain_ours(root, folder, path, ours)
        else:
            words = complain_theirs(folder, theirs)
        if words:
            yield f"{path}:{line}: {words}"
        if first and path.suffix == ".c" and (root / own).is_file() and ours != own:
            yield f'{path}:{line}: "{own}" does not come first'
        first = False


def main(root):
    complaints = []
    seen = 0
    for folder, path, text in sources.files(root):
        complaints += complain(sources.pathlib.Path(root), folder, path, text)
        seen += 1
    return sources.report("includes", complaints, seen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
