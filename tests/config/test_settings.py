"""Settings come from config.toml, the environment and the command line; the later wins, the bad is named."""

import os
from pathlib import Path
from typing import Any

import pytest

from lbench.config.settings import Settings, known_settings, load, on_hangup
from lbench.errors import InputError


def _load(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **overrides: Any) -> Any:
    file = tmp_path / "config.toml"
    file.write_text(toml, encoding="utf-8")
    return load(overrides, environ=environ or {}, file=file)


def _refused(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **overrides: Any) -> str:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, toml, environ, **overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    loaded = load({}, environ={}, file=tmp_path / "none.toml")
    assert loaded.values == Settings()
    assert set(loaded.origins.values()) == {"default"}
    values = loaded.values
    assert (values.repeats, values.warmup, values.memory_mb, values.timeout_s) == ("auto", 0, 1769, 300)
    assert (values.retries, values.seed, values.client, values.schedule) == (2, 1, "fast", None)


def test_the_later_source_wins_and_each_origin_is_reported(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path,
        'repeats = 5\nmemory = 512\nregion = "eu-west-1"\n',
        {"LBENCH_MEMORY": "1024", "LBENCH_REPEATS": "7", "PATH": "/bin"},
        repeats=9,
        seed=None,
    )
    assert (loaded.values.repeats, loaded.values.memory_mb, loaded.values.region) == (9, 1024, "eu-west-1")
    assert loaded.origins["repeats"] == "command line"
    assert loaded.origins["memory"] == "LBENCH_MEMORY"
    assert loaded.origins["region"] == "config.toml"
    assert loaded.origins["seed"] == "default"


def test_texts_of_the_environment_and_the_command_line_are_read(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "", {"LBENCH_TIMEOUT": "2.5", "LBENCH_ON_HANGUP": "finish"}, concurrency="4")
    assert loaded.values.timeout_s == 2.5
    assert loaded.values.concurrency == 4
    assert loaded.values.on_hangup == "finish"


def test_an_unknown_setting_is_reported_with_its_file_and_the_nearest(tmp_path: Path) -> None:
    message = _refused(tmp_path, "repeat = 3\n")
    assert "config.toml" in message and "'repeat'" in message and "'repeats'" in message
    assert "LBENCH_REPEATS" in _refused(tmp_path, environ={"LBENCH_REPEAT": "3"})
    assert "'memory'" in _refused(tmp_path, memoryy=128)
    assert "there are repeats, " in _refused(tmp_path, "[colours]\nred = 1\n")


def test_variables_of_lbench_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {"LBENCH_TEST_DATA": "/data", "LBENCH_PARENT_PID": "1"}
    assert _load(tmp_path, "", environ).values == Settings()


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("repeats = 0\n", "repeats must be a whole number from 1 to 10000"),
        ('repeats = "3"\n', "repeats must be a whole number"),  # a file has types
        ("memory = 64\n", "memory must be a whole number from 128 to 10240"),
        ("timeout = nan\n", "timeout must be a number above 0 and up to 900"),
        ("timeout = 901\n", "up to 900, got 901"),
        ('client = "slow"\n', "client must be aioboto3 or fast"),
        ('on_hangup = "hide"\n', "on_hangup must be finish or stop"),
        ("region = 1\n", "region must be a text"),
        ("repeats = \n", "not TOML"),
    ],
)
def test_a_bad_value_in_the_file_is_named(tmp_path: Path, toml: str, named: str) -> None:
    message = _refused(tmp_path, toml)
    assert named in message
    assert "config.toml" in message


def test_a_bad_value_elsewhere_is_named(tmp_path: Path) -> None:
    assert _refused(tmp_path, environ={"LBENCH_REPEATS": "many"}).startswith(
        "LBENCH_REPEATS must be a whole number from 1 to 10000 or auto, got many"
    )
    assert _refused(tmp_path, warmup="-1").startswith("--warmup must be a whole number from 0 to 1000, got -1")


def test_a_binary_settings_file_gets_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        load({}, environ={}, file=file)
    with pytest.raises(InputError, match="cannot read"):
        load({}, environ={}, file=tmp_path)


def test_a_tui_finishes_and_run_stops_unless_set() -> None:
    assert on_hangup(Settings(), "tui") == "finish"
    assert on_hangup(Settings(), "run") == "stop"
    assert on_hangup(Settings(on_hangup="finish"), "run") == "finish"


def test_every_setting_can_be_explained() -> None:
    names = [setting.name for setting in known_settings()]
    assert names[:4] == ["repeats", "for", "warmup", "concurrency"]
    for setting in known_settings():
        assert setting.meaning and setting.expected
        assert setting.variable == f"LBENCH_{setting.name.upper()}"


def test_a_variable_that_is_empty_counts_as_unset(tmp_path: Path) -> None:
    loaded = load(environ={"LBENCH_REGION": "", "LBENCH_REPEATS": ""}, file=tmp_path / "none.toml")
    assert (loaded.values.region, loaded.values.repeats) == (None, "auto")
    assert loaded.origins["region"] == "default"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_settings_of_another_user_are_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('s3_endpoint = "http://127.0.0.1:9"\n')
    os.chown(file, 12345, 12345)
    with pytest.raises(InputError, match="belongs to another user: set XDG_CONFIG_HOME to a folder that you own"):
        load({}, environ={}, file=file)
