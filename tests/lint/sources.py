"""What the lint tests share: the program's folders and their files."""

import pathlib

ROLES = ["smtpd", "queue", "delivery", "dns", "local", "auth", "keys", "tokens", "master", "tools"]
FOLDERS = ["common", "io", "mail", "ipc"] + ROLES


def files(root):
    """Yields (folder, path from the root, text) of every source file and header."""
    root = pathlib.Path(root)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            yield folder, path.relative_to(root), path.read_text(encoding="utf-8")


def report(name, complaints, seen):
    """The exit status. A test that looked at nothing has not passed."""
    if seen == 0:
        complaints = [*complaints, f"{name}: found nothing to look at"]
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0
