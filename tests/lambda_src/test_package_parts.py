"""The packager's rules: what runs on a target, what is left out, what is too large, which versions are the driver's."""

from __future__ import annotations

import importlib.metadata

import pytest

from lbench.config.pythons import find_python, host_python
from lbench.errors import InputError
from lbench.lambda_src.pins import driver_versions
from lbench.lambda_src.prune import keep
from lbench.lambda_src.sizes import Part, check_size, part_sizes
from lbench.lambda_src.targets import Target, choose_target

MIB = 2**20


@pytest.mark.parametrize(
    ("wheel", "runs"),
    [
        ("numpy-2.4.6-cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
        ("joblib-1.6.0-py3-none-any.whl", True),
        ("six-1.17.0-py2.py3-none-any.whl", True),
        ("cryptography-50.0.2-cp39-abi3-manylinux_2_34_x86_64.whl", True),
        ("x-1.0-1-cp313-cp313-manylinux2014_x86_64.whl", True),  # with a build number
        ("x-1.0-cp314-abi3-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl", False),  # without the global lock
        ("x-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp313-cp313-manylinux_2_28_aarch64.whl", False),
        ("x-1.0-cp313-cp313-manylinux_2_35_x86_64.whl", False),
        ("x-1.0-cp313-cp313-musllinux_1_2_x86_64.whl", False),
        ("x-1.0-cp313-cp313-linux_x86_64.whl", False),
        ("x-1.0-py2-none-any.whl", False),
    ],
)
def test_a_wheels_tags_say_whether_it_runs_there(wheel: str, runs: bool) -> None:
    assert Target("3.13", "x86_64").runs(wheel) is runs


def test_all_platforms_from_the_runtimes_glibc_down_are_asked_for() -> None:
    asked = Target("3.13", "arm64").platforms
    assert asked[0] == "manylinux_2_34_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"} < set(asked)
    assert not [platform for platform in asked if platform.startswith("linux")]


def test_the_default_target_is_this_python_where_lambda_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbench.lambda_src.targets.host_python", lambda: "3.12")
    assert choose_target().python == "3.12"
    monkeypatch.setattr("lbench.lambda_src.targets.host_python", lambda: "3.11")
    assert choose_target().python == "3.13"


@pytest.mark.parametrize(("python", "arch"), [("3.11", None), ("3", None), (None, "sparc"), ("3.13", "amd64")])
def test_an_unsupported_target_is_refused(python: str | None, arch: str | None) -> None:
    with pytest.raises(InputError, match="must be"):
        choose_target(python, arch)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("numpy/__init__.py", True),
        ("numpy/testing/__init__.py", True),  # no test: scipy imports it
        ("numpy.libs/libscipy_openblas64_-32a4b2.so", True),
        ("numpy-2.4.6.dist-info/METADATA", True),  # importlib.metadata asks for it
        ("numpy-2.4.6.dist-info/licenses/LICENSE.txt", True),
        ("x-1.0.data/purelib/x/a.py", True),
        ("tests.py", True),
        ("sklearn/tests/test_base.py", False),
        ("joblib/test/common.py", False),
        ("tests/test_all.py", False),
        ("astropy/tests/runner.py", True),  # astropy/__init__.py imports it
        ("django/test/client.py", True),
        ("django/test/__pycache__/client.cpython-313.pyc", False),
        ("numpy/__init__.pyi", False),
        ("numpy/_core/include/numpy/arrayobject.h", False),
        ("numpy-2.4.6.dist-info/RECORD", False),
        ("x-1.0.data/scripts/x", False),
    ],
)
def test_tests_stubs_and_sources_of_compiled_code_are_left_out(name: str, kept: bool) -> None:
    assert keep(name) is kept


def test_compiled_files_weigh_with_their_part() -> None:
    owners = {"a/b.py": ("a", "1"), "c.py": ("c", "2")}
    sizes = {
        "a/b.py": (10, 5),
        "a/__pycache__/b.cpython-313.pyc": (7, 4),
        "c.py": (1, 1),
        "__pycache__/c.cpython-313.pyc": (1, 1),
    }
    assert part_sizes(owners, sizes) == (Part("a", "1", 17, 9), Part("c", "2", 2, 2))


def test_what_fits_exactly_is_taken_and_one_byte_more_is_not() -> None:
    check_size([Part("a", "1", 250 * MIB, 1)], one_workload=False)
    parts = [Part("small", "1", 1, 1), Part("large", "1", 250 * MIB, 1)]
    with pytest.raises(InputError, match=r"largest parts are large 250\.0 MiB, small .* --workload NAME"):
        check_size(parts, one_workload=False)


def test_what_a_package_requires_is_pinned_too() -> None:
    pins = driver_versions(["Scikit_Learn", "no-such-package"])
    assert {"scikit-learn", "scipy", "joblib", "numpy"} <= set(pins)
    assert pins["scipy"] == importlib.metadata.version("scipy")
    assert "pytest" not in pins and "no-such-package" not in pins


def test_this_python_is_found_and_one_that_does_not_exist_is_not() -> None:
    found = find_python(host_python())
    assert found is not None and found.minor == host_python()
    assert find_python("3.99") is None


def test_a_shim_that_does_not_answer_is_no_python(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    shim = Path(str(tmp_path)) / "python3.98"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.98: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    assert find_python("3.98") is None
