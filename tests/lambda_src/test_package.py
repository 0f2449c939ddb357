"""A package holds what a function needs on its target, and is the same file whenever it is made."""

from __future__ import annotations

import importlib.metadata
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.config import limits as limits_module
from lbench.config.lambda_files import shipped_sources
from lbench.config.manifest import read_manifest
from lbench.config.pythons import find_python
from lbench.errors import InputError, LbenchError, UnknownNameError
from lbench.lambda_src import package
from lbench.lambda_src.package import Built, build
from lbench.lambda_src.targets import Target

MakeWheel = Callable[..., Path]
X86 = Target("3.13", "x86_64")


def names(built: Built) -> list[str]:
    with zipfile.ZipFile(built.path) as archive:
        return archive.namelist()


@pytest.mark.usefixtures("libraries")
def test_it_holds_our_side_and_the_libraries_without_their_tests_and_stubs() -> None:
    held = set(names(build(X86, ["mandelbrot"])))
    assert set(shipped_sources()) < held
    assert {"numpy/__init__.py", "numpy/core.cpython-313.so", "numpy.libs/libblas.so.3", "msgspec/__init__.py"} < held
    assert "lbench/lambda_src/package.py" not in held
    assert not [name for name in held if "/tests/" in name or name.endswith((".pyi", "/RECORD"))]


@pytest.mark.usefixtures("libraries")
def test_made_again_it_is_the_same_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(X86, ["mandelbrot"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = build(X86, ["mandelbrot"])
    assert first.path != second.path and not second.cached
    assert first.path.read_bytes() == second.path.read_bytes()


@pytest.mark.usefixtures("libraries")
def test_the_second_time_it_is_looked_up_and_nothing_is_downloaded(index: Path) -> None:
    first = build(X86, ["mandelbrot"])
    shutil.rmtree(index)
    lines: list[str] = []
    second = build(X86, ["mandelbrot"], say=lines.append)
    assert second.cached and not lines
    assert (second.path, second.sha256, second.parts) == (first.path, first.sha256, first.parts)


@pytest.mark.usefixtures("libraries")
def test_a_damaged_one_in_the_cache_is_made_again() -> None:
    first = build(X86, ["mandelbrot"])
    whole = first.path.read_bytes()
    first.path.write_bytes(b"junk")
    for wheel in first.path.parent.glob("wheels/*/numpy*"):
        wheel.write_bytes(b"junk")
    second = build(X86, ["mandelbrot"])
    assert not second.cached and second.path.read_bytes() == whole


@pytest.mark.usefixtures("libraries")
def test_modules_are_compiled_for_the_target_and_never_compared_with_their_source() -> None:
    python = find_python("3.13")
    if python is None:
        pytest.skip("no Python 3.13 here to compile with")
    built = build(X86, ["mandelbrot"])
    with zipfile.ZipFile(built.path) as archive:
        compiled = archive.read("numpy/__pycache__/__init__.cpython-313.pyc")
    assert compiled[:4].hex() == python.magic
    assert compiled[4:8] == (1).to_bytes(4, "little")  # PEP 552's unchecked hash
    assert b"/var/task/numpy/__init__.py" in compiled
    assert "numpy/__pycache__/template.cpython-313.pyc" not in names(built)


@pytest.mark.usefixtures("libraries")
def test_without_the_targets_python_it_holds_sources_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "find_python", lambda minor: None)
    built = build(X86, ["mandelbrot"])
    assert not [name for name in names(built) if name.endswith(".pyc")]
    assert built.manifest.compiled is None
    assert any("no Python 3.13 here" in warning for warning in built.warnings)


@pytest.mark.usefixtures("libraries")
def test_the_smallest_set_of_libraries_is_packed(make_wheel: MakeWheel) -> None:
    assert set(build(X86, ["mandelbrot"]).manifest.packages) == {"msgspec", "numpy"}
    make_wheel("scikit-learn", requires="joblib")
    make_wheel("joblib")
    assert set(build(X86).manifest.packages) == {"joblib", "msgspec", "numpy", "scikit-learn"}


@pytest.mark.usefixtures("libraries")
def test_it_says_of_itself_what_it_is() -> None:
    built = build(Target("3.13", "arm64"), ["mandelbrot", "probe"])
    manifest = read_manifest(built.path)
    assert manifest == built.manifest
    assert (manifest.python, manifest.arch, manifest.workloads) == ("3.13", "arm64", ("mandelbrot", "probe"))
    assert manifest.packages["numpy"] == importlib.metadata.version("numpy")


@pytest.mark.usefixtures("libraries")
def test_it_holds_a_users_own_modules_and_what_they_need(make_wheel: MakeWheel) -> None:
    make_wheel("tabulate", "0.9.0")
    built = build(X86, ["probe"], files={"mine.py": b"x = 1\n"}, requirements=["tabulate>=0.9"])
    assert {"mine.py", "tabulate/__init__.py"} < set(names(built))


@pytest.mark.usefixtures("libraries")
def test_every_entry_has_one_time_and_can_be_read_by_anyone() -> None:
    with zipfile.ZipFile(build(X86, ["mandelbrot"]).path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644", "0o100755"}


@pytest.mark.usefixtures("libraries")
def test_the_parts_add_up_to_the_whole() -> None:
    built = build(X86, ["mandelbrot"])
    with zipfile.ZipFile(built.path) as archive:
        assert built.unzipped_bytes == sum(entry.file_size for entry in archive.infolist())
    assert sum(part.zipped_bytes for part in built.parts) == pytest.approx(built.zipped_bytes, abs=64)
    assert not built.needs_s3


@pytest.mark.usefixtures("libraries")
def test_one_that_lambda_would_not_unpack_is_refused_with_its_largest_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    small = msgspec.structs.replace(limits_module.limits(), package_unzipped_max_bytes=1000)
    monkeypatch.setattr("lbench.lambda_src.sizes.limits", lambda: small)
    for _ in range(2):  # what is refused is not taken from the cache the next time
        with pytest.raises(InputError, match=r"largest parts are lbench .*leave out"):
            build(X86, ["mandelbrot"])


@pytest.mark.usefixtures("libraries")
def test_what_only_the_target_needs_is_packed_too(make_wheel: MakeWheel) -> None:
    """Pip reads markers with the eyes of the Python and the machine that it runs on."""
    make_wheel("aa", "1.0", requires='bb; platform_machine == "aarch64" and python_version >= "3.13"')
    make_wheel("bb", "1.0", requires='cc[more]>=2; sys_platform == "linux"')
    make_wheel("cc", "1.0")
    make_wheel("cc", "2.0", requires='dd; extra == "more" and platform_machine == "aarch64"')
    make_wheel("dd", "1.0")
    held = build(Target("3.13", "arm64"), ["probe"], requirements=["aa"]).manifest.packages
    assert set(held) == {"aa", "bb", "cc", "dd", "msgspec", "numpy"} and held["cc"] == "2.0"


@pytest.mark.usefixtures("libraries")
def test_a_requirement_holds_by_the_targets_markers(make_wheel: MakeWheel) -> None:
    make_wheel("aa", "1.0")
    asked = ['aa; python_version >= "3.13"', 'bb; sys_platform == "win32"']
    assert set(build(X86, ["probe"], requirements=asked).manifest.packages) == {"aa", "msgspec", "numpy"}


def test_another_version_than_the_drivers_is_packed_with_a_warning(make_wheel: MakeWheel) -> None:
    make_wheel("numpy", "1.99.0", "cp313-cp313-manylinux2014_x86_64")
    make_wheel("msgspec")
    built = build(X86, ["mandelbrot"])
    assert built.manifest.packages["numpy"] == "1.99.0"
    assert any(f"numpy {importlib.metadata.version('numpy')}" in warning for warning in built.warnings)


@pytest.mark.parametrize(
    "tags",
    [
        "cp311-cp311-manylinux_2_28_x86_64",  # another Python's
        "cp313-cp313-manylinux_2_28_aarch64",  # another processor's
        "cp313-cp313-manylinux_2_39_x86_64",  # asks for a newer glibc
        "cp313-cp313-linux_x86_64",  # built on some machine
        "cp313-cp313-macosx_11_0_arm64",
    ],
)
def test_a_package_without_a_wheel_for_the_target_is_one_line(make_wheel: MakeWheel, tags: str) -> None:
    make_wheel("numpy", tags=tags)
    make_wheel("msgspec")
    with pytest.raises(InputError, match=r"^numpy has no wheel for Python 3\.13 on x86_64"):
        build(X86, ["mandelbrot"])


def test_code_for_another_processor_is_refused_whatever_its_wheel_is_called(
    make_wheel: MakeWheel, elf: Callable[[int], bytes]
) -> None:
    make_wheel("numpy", tags="cp313-cp313-manylinux2014_x86_64", files={"numpy/core.so": elf(183)})
    make_wheel("msgspec")
    with pytest.raises(InputError, match=r"numpy/core\.so, which is not for x86_64"):
        build(X86, ["mandelbrot"])


def test_two_parts_with_one_file_are_refused(make_wheel: MakeWheel) -> None:
    make_wheel("numpy", files={"lbench/errors.py": b"taken"})
    make_wheel("msgspec")
    with pytest.raises(InputError, match=r"two of the package's parts hold lbench/errors\.py"):
        build(X86, ["mandelbrot"])


@pytest.mark.parametrize("requirement", ["--index-url=x", "-r file", "./folder", ""])
def test_a_requirement_that_pip_would_take_for_something_else_is_refused(requirement: str) -> None:
    with pytest.raises(InputError, match="must be a package name"):
        build(X86, ["probe"], requirements=[requirement])


def test_an_unknown_workload_is_refused_before_anything_is_downloaded() -> None:
    with pytest.raises(UnknownNameError, match="mandelbrot"):
        build(X86, ["mandelbrt"])


@pytest.mark.usefixtures("libraries")
def test_an_unwritable_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "full"
    (cache / "lbench").mkdir(parents=True)
    (cache / "lbench/packages").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with pytest.raises(LbenchError, match="packages"):
        build(X86, ["mandelbrot"])
