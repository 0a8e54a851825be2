"""Do the lint tests find what they look for?"""

import contextlib
import io
import pathlib
import tempfile
import unittest

import accidents
import events
import extensions
import functions
import includes
import libraries
import replies


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("common/view.h", "")
        self.write("io/loop.h", '#include "common/view.h"\n')
        self.write("queue/spool.h", "")
        self.write("smtpd/session.h", "")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run_lint(self, lint):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = lint.main(self.root)
        self.assertEqual(status, 1 if output.getvalue() else 0)
        return output.getvalue().splitlines()

    def test_a_good_tree_passes(self):
        self.write(
            "queue/spool.c",
            '#include "queue/spool.h"\n\n#include "io/loop.h"\n\n#include <unistd.h>\n'
            '/* strcpy() */ int x = 1; // gets()\nchar *s = "system(\\"x\\")"; my_atoi(s);\n',
        )
        self.assertEqual(self.run_lint(includes), [])
        self.assertEqual(self.run_lint(functions), [])

    def test_nothing_to_look_at_is_a_mistake(self):
        self.root = self.root / "nowhere"
        self.assertEqual(self.run_lint(includes), ["includes: found nothing to look at"])
        self.assertEqual(self.run_lint(functions), ["functions: found nothing to look at"])

    def include(self, name, line, wanted):
        self.write(name, "\n" + line + "\n")
        self.assertEqual(self.run_lint(includes), [f"{name}:2: {wanted}"])

    def test_common_stands_on_nothing(self):
        self.include(
            "common/x.c", '#include "io/loop.h"', '"io/loop.h": common must not include io'
        )

    def test_mail_knows_no_io(self):
        self.include("mail/x.h", '# include "io/loop.h"', '"io/loop.h": mail must not include io')

    def test_roles_do_not_know_each_other(self):
        self.include(
            "queue/x.c",
            '#include "smtpd/session.h"',
            '"smtpd/session.h": queue must not include smtpd',
        )

    def test_names_start_at_the_root(self):
        self.include("queue/x.c", '#include "spool.h"', '"spool.h" is not written from the root')

    def test_names_do_not_climb(self):
        self.include(
            "queue/x.c",
            '#include "queue/../io/loop.h"',
            '"queue/../io/loop.h" is not written from the root',
        )

    def test_sources_are_not_included(self):
        self.include("queue/x.c", '#include "queue/y.c"', '"queue/y.c" is no header')

    def test_the_own_header_comes_first(self):
        self.include(
            "queue/spool.c", '#include "io/loop.h"', '"queue/spool.h" does not come first'
        )

    def test_only_dns_parses_dns(self):
        self.include("delivery/x.c", "#include <ares.h>", "<ares.h> belongs to dns")

    def test_mail_makes_no_system_calls(self):
        self.include(
            "mail/x.c",
            "#include <sys/socket.h>",
            "<sys/socket.h>: mail makes no system calls",
        )

    def test_forbidden_functions_are_found(self):
        self.write("queue/x.c", '/* one\ntwo */ char *s = "\\"";\nn = atoi (s);\nsprintf(s, "");\n')
        self.assertEqual(
            self.run_lint(functions),
            [
                "queue/x.c:3: atoi() is forbidden; use view_to_u64",
                "queue/x.c:4: sprintf() is forbidden; use buf_printf",
            ],
        )


class Events(Tree):
    def lint(self, *names):
        rows = "".join(f".It Ic {name}\nWords.\n" for name in names)
        self.write("man/tern.8", f".Sh LOG\n.Bl\n{rows}.El\n.Sh FILES\n.It Ic other\n")
        return self.run_lint(events)

    def test_both_ways(self):
        self.write(
            "queue/x.c",
            'log_debug("quiet", 1);\nlog_info("taken", LOG_U64("n", f(1, 2)));\n'
            'LOG_AT(a ? b : c, a ? "one" : "two",\n       LOG_STRING("why", "x, \\"pid\\""));\n',
        )
        self.assertEqual(self.lint("taken", "one", "two"), [])
        self.assertEqual(
            self.lint("taken", "two", "gone", "two"),
            [
                "queue/x.c:3: one is not in man/tern.8",
                "man/tern.8: nothing logs gone",
                "man/tern.8: two stands there twice",
            ],
        )

    def test_keys_are_there_once(self):
        self.write("queue/x.c", 'log_warn("lost",\n         LOG_STRING("process", "dns"));\n')
        self.assertEqual(
            self.lint("lost"), ['queue/x.c:1: every line has a "process" already']
        )

    def test_names_must_be_read(self):
        self.write("queue/x.c", 'log_error(name, LOG_U64("n", 1));\n')
        self.assertEqual(
            self.lint(),
            [
                "queue/x.c:1: the event has no name that can be read here",
                "events: found nothing to look at",
            ],
        )


class Replies(Tree):
    def test_each_is_expected(self):
        self.write(
            "smtpd/x.c",
            'step(550, "5.1.1", "No such "\n"box here");\n'
            'step(354, NULL, "Go on"); /* 250, NULL, "x" */\n'
            'step(451, "4.3.0", words); const char *words = "Come again %s";\n',
        )
        self.write("tests/dialogs/x.txt", "S: 550 5.1.1 No such\nS: 451 4.3.0 Come again\n")
        self.assertEqual(
            self.run_lint(replies),
            [
                "smtpd/x.c:1: no test expects: 550 5.1.1 No such box here",
                "smtpd/x.c:3: no test expects: 354 Go on",
            ],
        )
        self.write("tests/dialogs/x.txt", "S: 550 5.1.1 No such box here\nS: 354 Go on\n")
        self.assertEqual(
            self.run_lint(replies),
            [
                "smtpd/x.c:4: no test expects: 451 4.3.0",
                "smtpd/x.c:4: no test expects: Come again",
            ],
        )

    def test_nothing_to_look_at_is_a_mistake(self):
        self.root = self.root / "nowhere"
        self.assertEqual(self.run_lint(replies), ["replies: found nothing to look at"])


class Accidents(Tree):
    def test_what_is_named_is_there(self):
        self.write("tests/dialogs/meson.build", "['one', 'three']\n")
        self.write("tests/dialogs/one.txt", "")
        self.write("tests/dialogs/two.txt", "")
        self.write("tests/unit/x.c", "static void works(void **state)\n")
        self.write(
            "tests/accidents.md",
            "`dialogs/one`, `dialogs/two`\n`dialogs/three` `unit/x.c: works`\n`unit/x.c: work`\n",
        )
        self.assertEqual(
            self.run_lint(accidents),
            [
                "tests/accidents.md:1: there is no dialogs/two",
                "tests/accidents.md:2: there is no dialogs/three",
                "tests/accidents.md:3: there is no unit/x.c: work",
            ],
        )

    def test_nothing_to_look_at_is_a_mistake(self):
        self.assertEqual(self.run_lint(accidents), ["accidents: found nothing to look at"])


class Extensions(Tree):
    def test_tables_and_proofs_agree(self):
        self.write("smtpd/extensions.c", 'print("%s\\nSIZE %d\\n", a);\nprint("DSN\\n");\n')
        self.write("README.md", "| SIZE | 1 | everywhere | - |\n| AUTH | 4954 | under TLS | - |\n")
        self.write("man/tern.8", "".join(f".It {x} Ta 1 Ta x Ta -\n" for x in ("SIZE", "DSN", "ETRN")))
        self.write("tests/e2e/test_extensions.py", 'PROOFS = {"SIZE": a, "DSN": b, "AUTH": c}\n')
        self.assertEqual(
            self.run_lint(extensions),
            [
                "README.md: DSN is missing",
                "man/tern.8: AUTH is missing",
                "man/tern.8: ETRN is not announced",
                "the proofs: XCLIENT is not announced",
                "SIZE: ('1', 'everywhere') in README.md, ('1', 'x') in man/tern.8",
            ],
        )


class Libraries(unittest.TestCase):
    def test_names_are_read(self):
        line = " 0x0000000000000001 (NEEDED)             Shared library: [libpcre2-8.so.0]"
        self.assertEqual(libraries.NEEDED.findall(line), ["libpcre2-8"])

    def test_forbidden_and_wanted(self):
        self.assertEqual(list(libraries.complain("tern-queue", {"libc"})), [])
        self.assertEqual(
            list(libraries.complain("tern-queue", {"libc", "libssl"})),
            ["tern-queue: must not need libssl"],
        )
        self.assertEqual(
            list(libraries.complain("tern-dns", {"libc"})),
            ["tern-dns: does not need libcares, which it should"],
        )
        self.assertNotEqual(list(libraries.complain("tern-queue", set())), [])

    def test_missing_executables_are_found(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(libraries.main("readelf", []), 1)
        self.assertEqual(len(output.getvalue().splitlines()), len(libraries.RULES))


if __name__ == "__main__":
    unittest.main()
