"""Zips that somebody else has made: damage, unusual methods and more content than claimed are one kind of error."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import pytest

from lbench.config.manifest import MANIFEST
from lbench.config.zip_entries import ZIP_DAMAGE, read_entry
from lbench.engine.emulator.api.unpack import BadPackage, unpack
from lbench.errors import InputError
from lbench.lambda_src.archive import add_wheel
from lbench.lambda_src.package_file import read_package
from lbench.lambda_src.requirements import unmet
from lbench.lambda_src.targets import choose_target


def made(content: bytes, method: int) -> zipfile.ZipFile:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", content, method)
    return zipfile.ZipFile(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_is_read_up_to_the_limit(method: int) -> None:
    with made(b"x" * 1000, method) as archive:
        assert read_entry(archive, archive.infolist()[0], 1000) == b"x" * 1000
        with pytest.raises(zipfile.BadZipFile, match="'a' has more than 999 bytes"):
            read_entry(archive, archive.infolist()[0], 999)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_can_unpack_without_bound_is_refused(method: int) -> None:
    with (
        made(bytes(100_000), method) as archive,
        pytest.raises(zipfile.BadZipFile, match=f"'a' is compressed by method {method}"),
    ):
        read_entry(archive, archive.infolist()[0], 1_000_000)


def test_any_byte_of_a_zip_may_be_wrong() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", b"x" * 30, zipfile.ZIP_DEFLATED)
        file.writestr("b", b"x" * 30, zipfile.ZIP_LZMA)
    whole = archive.getvalue()
    for place in range(len(whole)):
        for value in (0, 1, 14, 0x80, 0xFF):
            content = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                with zipfile.ZipFile(io.BytesIO(content)) as file:
                    for entry in file.infolist():
                        read_entry(file, entry, 1000)
            except (OSError, *ZIP_DAMAGE):
                continue


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_each_reader_of_zips_refuses_damage_in_one_line(tmp_path: Path, method: int) -> None:
    wheel = tmp_path / "numpy-2.1-py3-none-any.whl"
    for name in ("numpy/x.py", "numpy-2.1.dist-info/METADATA", MANIFEST):
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr(name, b"x" * 100, method)
        with contextlib.suppress(InputError):
            add_wheel(wheel, tmp_path / "root", "x86_64")
        with contextlib.suppress(InputError):
            list(unmet([wheel], ["numpy"], choose_target("3.13", "x86_64")))
        with pytest.raises(InputError, match="is not an lbench package"):
            read_package(wheel)
        with pytest.raises(BadPackage, match="Could not unzip"):
            unpack(wheel.read_bytes(), tmp_path / "home")
    assert not (tmp_path / "root").exists()
