"""A start that cannot be: a clear message, exit status 78, and nothing touched."""
import os
import re
import shutil
import socket
import subprocess

import pytest

import namespace

CONFIG = 78  # EX_CONFIG: starting it again does not help


def refuse(world, *words):
    world.deaths_are_expected = True
    status, said = world.start_in_vain()
    assert status == CONFIG, said
    for word in words:
        assert word in said, said
    return said


def test_a_mistake_in_the_configuration_is_shown_with_its_place(world):
    world.config_path.write_text("domains: {}\nhostnam: mx.tern.test\n")
    world.launch(config=False)
    assert world.master.wait(60) == CONFIG
    world.master = None
    said = world.log.text()
    assert f"{world.config_path}:2:1: error: " in said
    assert 'did you mean "hostname"?' in said and "^~~~" in said
    assert not world.spool.exists()
    done = world.tern("config", "check", str(world.config_path))
    assert done.returncode != 0
    assert f"{world.config_path}:2:1: error: " in done.stderr


def test_a_good_configuration_is_summed_up(world):
    world.write_config()
    done = world.tern("config", "check", str(world.config_path))
    assert done.returncode == 0 and len(done.stdout.splitlines()) <= 3 and done.stderr == ""


def test_a_missing_configuration_is_said(world):
    world.launch(config=False)
    assert world.master.wait(60) == CONFIG
    world.master = None
    assert str(world.config_path) in world.log.text()


def test_an_occupied_port_is_said(world):
    with socket.create_server(("127.0.0.1", 2525)):
        refuse(world, "127.0.0.1:2525", "another program listens there")
    assert not world.spool.exists()


def test_a_missing_key_is_said(world):
    world.configure(tls={"key": str(world.folder / "missing.key")})
    refuse(world, "missing.key", "No such file")


def test_a_key_that_everybody_may_read_is_refused(world):
    os.chmod(world.settings["tls"]["key"], 0o644)
    refuse(world, world.settings["tls"]["key"], "chmod 600")


def test_a_key_that_cannot_be_read_is_said(world):
    if namespace.is_root():
        pytest.skip("root can read everything")
    os.chmod(world.settings["tls"]["key"], 0)
    refuse(world, world.settings["tls"]["key"], "Permission denied")


def test_a_key_that_is_none_is_said(world):
    with open(world.settings["tls"]["key"], "w", encoding="ascii") as f:
        f.write("this is no key\n")
    refuse(world, "key")


def test_a_key_for_another_certificate_is_said(world):
    shutil.copy(world.other_certificate()[1], world.settings["tls"]["key"])
    refuse(world, "certificate")


def test_an_unknown_user_is_said(world):
    if not namespace.is_root():
        pytest.skip("only root starts roles as other users")
    world.configure(users={"smtpd": "nobody-of-that-name"})
    refuse(world, "nobody-of-that-name")


def test_root_is_no_user_for_a_role(world):
    if not namespace.is_root():
        pytest.skip("only root starts roles as other users")
    world.configure(users={"smtpd": "root"})
    refuse(world, "root")


def test_a_second_instance_on_the_same_spool_is_refused(world):
    world.start_relay()
    first, world.master = world.master, None
    saved = dict(world.settings)
    world.configure(control=str(world.folder / "run2" / "control"),
                    listen=[{"address": "127.0.0.1:2626"}])
    refuse(world, "the spool is in use by another process")
    world.settings, world.master = saved, first
    world.write_config()
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()


def test_a_second_instance_with_the_same_control_socket_is_refused(world):
    world.start_relay()
    first, world.master = world.master, None
    saved = dict(world.settings)
    world.configure(spool={"path": str(world.folder / "spool2")},
                    listen=[{"address": "127.0.0.1:2626"}])
    refuse(world, "control")
    world.settings, world.master = saved, first
    world.write_config()
    assert world.queue() == []


def test_the_spool_of_another_user_is_refused_and_not_touched(world):
    if not namespace.is_root():
        pytest.skip("needs root, to make a folder of somebody else's")
    world.spool.mkdir(mode=0o755)
    (world.spool / "precious").write_text("x")
    os.chown(world.spool, 33, 33)
    refuse(world, "the spool", "belongs to user 33")
    assert [p.name for p in world.spool.iterdir()] == ["precious"]
    assert world.spool.stat().st_uid == 33 and world.spool.stat().st_mode & 0o777 == 0o755


def test_what_else_lies_in_the_folder_of_the_spool_is_left_alone(world):
    world.spool.mkdir(mode=0o700)
    (world.spool / "precious").write_text("x")
    world.give_away(world.spool)
    world.start_relay()
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()
    assert (world.spool / "precious").read_text() == "x"


def test_the_spool_of_a_newer_tern_is_refused(world):
    world.start_relay()
    world.stop_relay()
    form = (world.spool / "format").read_text()
    (world.spool / "format").write_text(form.replace("version 1", "version 999"))
    refuse(world, "newer Tern")


def test_a_role_started_by_hand_explains_itself(world):
    for role in ("smtpd", "queue", "delivery", "dns", "local", "keys"):
        done = subprocess.run([str(world.build / role / f"tern-{role}")], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode != 0 and "tern-master" in done.stderr, role


def check(world, words, **settings):
    """config check tells it, at a place, before anything is started."""
    before = dict(world.settings)
    world.settings.update(settings)
    world.write_config()
    done = world.tern("config", "check")
    world.settings = before
    assert done.returncode == 2 and done.stdout == "", words
    place = re.escape(str(world.config_path)) + r":[1-9]\d*:[1-9]\d*"
    assert re.search(rf"^{place}: error: .*{re.escape(words)}", done.stderr, re.M), done.stderr
    assert done.stderr.endswith(f"{world.config_path}: 1 mistake\n"), done.stderr


def test_config_check_looks_into_the_files(world):
    tls = world.settings["tls"]
    junk, blank, none = (str(world.folder / name) for name in ("junk", "blank", "none"))
    for path, text in ((junk, "no PEM\n"), (blank, "\nsecret\n")):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o600)
    other = [str(path) for path in world.other_certificate()]
    route = {"domain": "*", "via": "smtp://smart.test", "tls": "verify"}
    login = {**route, "auth-login": "me"}
    check(world, "this file cannot be read: No such file", tls={**tls, "certificate": none})
    check(world, "this file cannot be read: No such file", tls={**tls, "key": none})
    check(world, "this file cannot be read: Is a directory", tls={**tls, "certificate": "/tmp"})
    check(world, "there is no certificate in the file", tls={**tls, "certificate": junk})
    check(world, "there is no private key in the file", tls={**tls, "key": junk})
    check(world, "the key does not belong to the certificate", tls={**tls, "key": other[1]})
    check(world, "does not belong", tls={**tls, "certificates": {other[0]: tls["key"]}})
    check(world, "there is no trust anchor in the file", tls={**tls, "trust-anchors": junk})
    check(world, "there is no trust anchor in the file", auth={"client-ca": junk})
    check(world, "this file is empty", routes=[{**route, "ca": "/dev/null"}])
    check(world, "No such file", routes=[{**login, "auth-password": none}])
    check(world, "the first line of this file is empty", routes=[{**login, "auth-token": blank}])
    os.chmod(junk, 0o604)
    check(world, "chmod 600", routes=[{**login, "auth-password": junk}])
    os.chmod(other[1], 0o644)
    check(world, "chmod 600", tls={**tls, "certificates": {other[0]: other[1]}})


def test_config_check_looks_at_folders(world):
    spool, maildir = world.settings["spool"], world.settings["maildir"]
    deep, file = str(world.folder / "none" / "at" / "all"), str(world.folder / "file")
    with open(file, "w", encoding="ascii"):
        pass
    missing = f"{world.folder / 'none' / 'at'} is missing: mkdir -p it"
    check(world, missing, spool={**spool, "path": deep})
    check(world, missing, maildir={"root": deep})
    check(world, missing, control=deep + "/control")
    check(world, "cannot be used: Not a directory", maildir={"root": file + "/below"})
    check(world, f"{file} cannot be used: Not a directory", spool={**spool, "path": file})
    world.spool.mkdir(mode=0o700)
    world.write_config()
    done = world.tern("config", "check")
    if namespace.is_root():
        check(world, f"user nobody may not use {world.spool}", hostname="mx.tern.test")
        world.give_away(world.spool)
        done = world.tern("config", "check")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert not world.maildirs.exists()
    if namespace.is_root():
        world.write_config()
        os.chmod(world.folder, 0o755)
        done = world.run_as(33, [str(world.build / "tools" / "tern"), "config", "check",
                                 str(world.config_path)])
        assert f"warning: you may not use {world.spool}, so nobody" in done.stderr, done.stderr


def test_config_check_and_the_start_look_for_users(world):
    if not namespace.is_root():
        pytest.skip("who is not root becomes nobody else")
    users = world.settings["users"]
    words = "there is no system user tern-nowhere: make it (adduser --system --group tern-nowhere)"
    check(world, words, users={**users, "queue": "tern-nowhere"})
    check(world, "user root is root: no role runs as root", users={**users, "dns": "root"})
    world.configure(users={**users, "queue": "tern-nowhere"})
    refuse(world, words)


def test_who_may_not_read_a_key_is_told_that_nobody_looked(world):
    if not namespace.is_root():
        pytest.skip("needs root, to be somebody else")
    world.write_config()
    os.chmod(world.folder, 0o755)
    done = world.run_as(33, [str(world.build / "tools" / "tern"), "config", "check",
                             str(world.config_path)])
    assert done.returncode == 0 and "warning: you may not read this file" in done.stderr
