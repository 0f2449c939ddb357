from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from lbench.config.folders import sessions_folder
from lbench.engine.service import client
from lbench.engine.service.client import Engine, new_session_folder
from lbench.engine.service.discovery import socket_path
from lbench.errors import EngineLostError, InputError


def test_a_session_gets_a_folder_of_its_own():
    first, second = new_session_folder(), new_session_folder()
    assert first != second
    assert first.parent == second.parent == sessions_folder()
    assert first.stat().st_mode & 0o777 == 0o700


def test_a_session_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "sessions_folder", lambda: tmp_path / "none")
    with pytest.raises(InputError, match=r"cannot record a session in .*: set XDG_DATA_HOME"):
        new_session_folder()


def test_an_engine_that_dies_at_once_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho Traceback >&2\necho 'ImportError: no ssl' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(InputError, match=r"the engine did not start: ImportError: no ssl$"):
        Engine(tmp_path, on_hangup="stop")  # the folder with its log is removed


def test_a_disk_without_any_room_is_named_with_the_remedy(tmp_path, monkeypatch):
    full = "import os, resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    full += "import sys, runpy; sys.argv = sys.argv[3:]; runpy.run_module('lbench.engine', run_name='__main__')"
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -c "{full}" "$@"\n')
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(InputError, match=r"no room on the disk for .*free some, or set XDG_DATA_HOME"):
        Engine(tmp_path, on_hangup="stop")


def test_an_engine_killed_before_it_begins_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(EngineLostError, match="killed by signal 9 before it began: run again"):
        Engine(tmp_path, on_hangup="stop")


def test_the_next_engine_removes_the_socket_of_one_that_was_killed(tmp_path):
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    stale, held = socket_path(tmp_path, dead.pid), socket_path(tmp_path, os.getpid())
    for path in (stale, held):
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    engine = Engine(tmp_path, on_hangup="stop")
    assert not stale.exists()
    assert held.exists()
    engine.process.kill()
    engine.wait()
    assert not engine.socket.exists()
    assert not (tmp_path / "engine.json").exists()
    engine.let_go()


def test_another_program_that_answers_is_killed(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho welcome to this machine\nexec sleep 1000\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(InputError, match="did not start"):
        Engine(tmp_path, on_hangup="stop")


def test_a_missing_folder_is_an_error_of_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot write to"):
        Engine(tmp_path / "none", on_hangup="stop")


def test_an_engine_without_a_lifeline_prints_its_socket_and_ends_on_a_signal(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "lbench.engine", str(tmp_path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as engine:
        assert engine.stdout is not None
        line = engine.stdout.readline()
        engine.terminate()
    assert line.startswith(b'{"socket":')
    assert engine.returncode == 0
