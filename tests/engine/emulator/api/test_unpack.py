"""A zip is unpacked into a folder, and nothing outside that folder is written."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from lbench.engine.emulator.api import unpack as package
from lbench.engine.emulator.api.unpack import BadPackage, archive_of, unpack


def archive(*entries: tuple[str, bytes], mode: int = 0o644, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = method
            file.writestr(info, content)
    return made.getvalue()


def test_a_package_is_unpacked_once_under_its_digest(tmp_path: Path) -> None:
    whole = archive(("app.py", b"x = 1"), ("deep/er/data", b"y"))
    first, second = unpack(whole, tmp_path / "home"), unpack(whole, tmp_path / "home")
    assert first.folder == second.folder == tmp_path / "home" / first.digest
    assert (first.folder / "deep/er/data").read_bytes() == b"y"
    assert first.size == len(whole)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [first.digest, f"{first.digest}.zip"]
    assert archive_of(first.folder) == whole


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "..\\out", "C:\\out", "a/.."])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadPackage, match="leads out"):
        unpack(archive((name, b"x")), tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="not a regular file"):
        unpack(archive(("link", b"/etc"), mode=stat.S_IFLNK | 0o777), tmp_path)


def test_executable_files_stay_executable(tmp_path: Path) -> None:
    made = unpack(archive(("run", b"#!"), mode=stat.S_IFREG | 0o755), tmp_path)
    assert (made.folder / "run").stat().st_mode & 0o111


@pytest.mark.parametrize(("mode", "left"), [(0o600, 0), (0o644, 0o444), (0o755, 0o555), (0o640, 0), (0o777, 0o555)])
def test_a_file_has_the_rights_that_lambda_s_user_has(tmp_path: Path, mode: int, left: int) -> None:
    whole = archive(("app.py", b"x = 1"), mode=mode)
    made = unpack(whole, tmp_path)
    assert stat.S_IMODE((made.folder / "app.py").stat().st_mode) == left


def test_folders_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        made = unpack(archive(("deep/er/data", b"y")), tmp_path / "home")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (made.folder, made.folder / "deep", made.folder / "deep/er")]
    assert modes == [0o755] * 3


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_gigabytes_at_once_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(BadPackage, match="Could not unzip"):
        unpack(archive(("app.py", b"x" * 1000), method=method), tmp_path)


@pytest.mark.parametrize("whole", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 4])
def test_a_file_that_is_not_a_zip_is_refused_in_aws_s_words(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(BadPackage, match="Could not unzip uploaded file"):
        unpack(whole, tmp_path)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    whole = bytearray(archive(("app.py", bytes(range(256)) * 40)))
    whole[60:80] = b"\xff" * 20
    with pytest.raises(BadPackage, match="Could not unzip"):
        unpack(bytes(whole), tmp_path)


def test_an_empty_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="non-empty"):
        unpack(archive(), tmp_path)


def test_a_zip_that_unpacks_above_the_limit_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "UNZIPPED_LIMIT", 1_000_000)
    with pytest.raises(BadPackage, match="Unzipped size must be smaller"):
        unpack(archive(("bomb", b"\0" * 3_000_000)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="as a file and as a folder"):
        unpack(archive(("a", b"x"), ("a/b", b"y")), tmp_path)
