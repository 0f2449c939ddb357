"""The target's wheels, downloaded by pip with the user's own settings for it, and kept.

Each one's tags are checked again afterwards: a wheel of this machine's never gets into a package by accident. Versions
are the driver's; where the target has no wheel of such a version, another is taken, with a warning.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from lbench.config.folders import cache_folder
from lbench.config.manifest import canonical_name
from lbench.errors import InputError, LbenchError
from lbench.folders import make_private
from lbench.lambda_src.pins import driver_versions
from lbench.lambda_src.requirements import needs, unmet
from lbench.lambda_src.targets import Target
from lbench.workloads.dataset import file_digest

__all__ = ["Wheel", "Wheels", "get_wheels"]

_FORMAT = 2  # of a folder: what was found in another way is not taken
_LIST = "wheels.json"  # written last: a folder without it is half made
_MISSING = re.compile(r"(?:No matching distribution found for|satisfies the requirement) ([A-Za-z0-9._-]+)")
_NO_NETWORK = re.compile(
    r"Retrying \(|NewConnectionError|ConnectionError|Temporary failure in name resolution|Connection refused"
    r"|ProxyError|SSLError|ReadTimeoutError|Network is unreachable|offline",
)
_CONFLICT = re.compile(r"ResolutionImpossible|conflicting dependencies")


class Wheel(msgspec.Struct, frozen=True):
    """One wheel in the cache."""

    name: str  # canonical
    version: str
    file: str  # its name in the folder
    sha256: str


class Wheels(msgspec.Struct, frozen=True):
    """What was found for a target."""

    folder: Path
    wheels: tuple[Wheel, ...]
    warnings: tuple[str, ...]  # where a version differs from the driver's


class _Listed(msgspec.Struct, frozen=True):
    wheels: tuple[Wheel, ...]


def get_wheels(requirements: Iterable[str], target: Target, say: Callable[[str], None] = lambda line: None) -> Wheels:
    """All wheels that `requirements` (names, or `name==1.2` and the like) need on the target, from the cache or by pip.

    Nothing is downloaded when the same was asked for before with the same versions here.

    Raises:
        InputError: the target has no wheel of a package, there is no network, or pip is missing.
        LbenchError: the cache cannot be written.
    """
    required = {str(need): canonical_name(need.name) for need in needs(requirements, target)}
    wanted = sorted(required)
    names = [required[requirement] for requirement in wanted]
    pins = driver_versions(names)
    for requirement, name in required.items():
        if requirement != name:
            pins.pop(name, None)  # a required version wins over the driver's
    asked = msgspec.json.encode([_FORMAT, wanted, sorted(pins.items()), target.python, target.arch, target.platforms])
    folder = cache_folder("packages") / "wheels" / hashlib.sha256(asked).hexdigest()[:32]
    try:
        listed = _kept(folder)
        if listed is None:
            say(f"downloading the libraries for {target}: {', '.join(names)}")
            listed = _fetch(wanted, pins, target, folder)
    except OSError as error:
        raise LbenchError(
            f"cannot store the libraries in {folder.parent} ({error.strerror}): "
            "free space there, or set XDG_CACHE_HOME to another folder"
        ) from None
    return Wheels(folder, listed.wheels, tuple(_differences(listed.wheels, pins, target)))


def _kept(folder: Path) -> _Listed | None:
    """What the folder holds, if it is whole."""
    try:
        listed = msgspec.json.decode((folder / _LIST).read_bytes(), type=_Listed)
        return listed if all(file_digest(folder / wheel.file) == wheel.sha256 for wheel in listed.wheels) else None
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _fetch(wanted: list[str], pins: Mapping[str, str], target: Target, folder: Path) -> _Listed:
    make_private(folder.parent)
    made = Path(tempfile.mkdtemp(prefix=".downloading-", dir=folder.parent))
    try:
        _download_all(wanted, pins, target, made)
        listed = _Listed(tuple(sorted((_checked(path, target) for path in made.iterdir()), key=lambda one: one.name)))
        (made / _LIST).write_bytes(msgspec.json.encode(listed))
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        try:
            made.rename(folder)
        except OSError:  # another process has just made it
            if (kept := _kept(folder)) is not None:
                return kept
            raise
        return listed
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _download_all(wanted: list[str], pins: Mapping[str, str], target: Target, folder: Path) -> None:
    """All that the target needs. Pip looks at markers with this machine's eyes, and leaves out what only the target needs:
    that is asked for by name, until nothing is missing.
    """
    while True:
        _download(wanted, dict(pins), target, folder)
        more = sorted(set(unmet(folder.iterdir(), wanted, target)) - set(wanted))
        if not more:
            return
        wanted = [*wanted, *more]
        for path in folder.iterdir():
            path.unlink()  # another version may be taken now


def _download(wanted: list[str], pins: dict[str, str], target: Target, folder: Path) -> None:
    """Pip's download; a pin that the target has no wheel for is given up, one after the other."""
    while True:
        problem = _pip(wanted, pins, target, folder)
        if problem is None:
            return
        if _NO_NETWORK.search(problem):
            raise InputError("cannot download the libraries: check the network and pip's index")
        if "No module named pip" in problem:
            raise InputError("downloading the libraries requires pip: run `python -m ensurepip`")
        missing = _MISSING.search(problem)
        name = canonical_name(missing[1]) if missing is not None else None
        if name is not None and name in pins:
            del pins[name]
        elif name is not None:
            raise InputError(f"{name} has no wheel for {target}: choose another --python or --arch")
        elif pins and _CONFLICT.search(problem):
            pins.clear()
        else:
            raise InputError(f"pip cannot download the libraries for {target}: {_last_error(problem)}")


def _pip(wanted: list[str], pins: Mapping[str, str], target: Target, folder: Path) -> str | None:
    """Run pip once; returns its errors where it failed."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix="lbench-pins-", encoding="utf-8") as constraints:
        constraints.write("".join(f"{name}=={version}\n" for name, version in pins.items()))
        constraints.flush()
        argv = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        argv += ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
        for abi in (target.python_tag, "abi3", "none"):
            argv += ["--abi", abi]
        for platform in target.platforms:
            argv += ["--platform", platform]
        argv += ["--constraint", constraints.name, "--dest", str(folder), "--", *wanted]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError as error:
            return f"ERROR: pip cannot be started: {error.strerror}"
    return None if done.returncode == 0 else done.stderr.decode(errors="replace")


def _last_error(problem: str) -> str:
    """Pip's last complaint, without addresses: they may hold credentials, and are nobody's business in a log."""
    lines = [line.partition("ERROR:")[2].strip() for line in problem.splitlines() if "ERROR:" in line]
    text = lines[-1] if lines else "it gave no reason; run `python -m pip --version` to see whether it works"
    return re.sub(r"\S+://\S+|host='[^']*'", "(its index)", text)[:300]


def _checked(path: Path, target: Target) -> Wheel:
    """The wheel at `path`, if it is one and runs on the target."""
    parts = path.name.removesuffix(".whl").split("-")
    if path.suffix != ".whl" or len(parts) < 5:
        raise InputError(f"pip downloaded {path.name}, which is not a wheel: choose a version that has wheels")
    if not target.runs(path.name):
        raise InputError(f"pip downloaded {path.name}, which does not run on {target}: see `python -m pip config list`")
    return Wheel(canonical_name(parts[0]), parts[1], path.name, file_digest(path))


def _differences(wheels: Iterable[Wheel], pins: Mapping[str, str], target: Target) -> Iterable[str]:
    for wheel in wheels:
        here = pins.get(wheel.name)
        if here is not None and here != wheel.version:
            yield (
                f"{wheel.name} {here}, which runs here, has no wheel for {target}: {wheel.version} is packed, "
                "and answers may differ"
            )
