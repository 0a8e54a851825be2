"""One `world` for each test: a relay, its clients, the other servers and their DNS, all inside a
network of its own. pytest starts itself again inside that network, so that ports 25, 465 and 2525
are free, also for an ordinary user."""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("sink", "world")

import namespace  # noqa: E402
from world import World, make_certificate  # noqa: E402

LOG_LINES_SHOWN = 150
BUILD = Path(os.environ.get("TERN_BUILD", Path(__file__).parents[2] / "build")).resolve()


def pytest_cmdline_main(config):
    if config.option.collectonly or config.option.help or namespace.is_inside():
        return None
    command = namespace.command_to_enter()
    if command is None:
        return None  # every test says why it is skipped
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
    sys.stdout.flush()
    os.execvp(command[0], command + [sys.executable, "-m", "pytest", *sys.argv[1:]])


def pytest_sessionstart(session):
    if namespace.is_inside() and not session.config.option.collectonly:
        namespace.furnish()


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.call_failed = report.failed


@pytest.fixture(scope="session")
def certificates():
    """Certificate and key of anybody's server, for any name."""
    folder = Path(tempfile.mkdtemp(prefix="tern-e2e-"))
    yield make_certificate(folder, "localhost")
    shutil.rmtree(folder)


@pytest.fixture
def world(request, certificates):
    if not namespace.is_inside():
        # Nothing that matters is skipped where the tests have to prove something.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(namespace.WHY_NOT)
    if not (BUILD / "master" / "tern-master").exists():
        pytest.fail(f"{BUILD} has no tern-master: build first, or set TERN_BUILD")
    folder = Path(tempfile.mkdtemp(prefix="tern-e2e-"))
    folder.chmod(0o755)
    w = World(folder, BUILD, certificates)
    yield w
    failed = getattr(request.node, "call_failed", True)
    try:
        w.close(failed)
    finally:
        if failed:
            print(*w.log.text().splitlines()[-LOG_LINES_SHOWN:], sep="\n")
        shutil.rmtree(folder, ignore_errors=True)
