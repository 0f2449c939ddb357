"""The deployment package: lbench's own side and the libraries that it needs, for one of Lambda's Pythons.

It is made once per content and kept: the same modules, wheels and interpreter give the same file, byte for byte, and
the second time it is only looked up.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from lbench._version import __version__
from lbench.config.folders import cache_folder
from lbench.config.lambda_files import HANDLER, files_digest, shipped_sources
from lbench.config.limits import limits
from lbench.config.manifest import MANIFEST, Manifest, OwnPacked
from lbench.config.pythons import Python, find_python
from lbench.errors import InputError, LbenchError
from lbench.lambda_src import archive, prune
from lbench.lambda_src import bytecode as compiling
from lbench.lambda_src.sizes import Part, check_size, part_sizes
from lbench.lambda_src.targets import Target
from lbench.lambda_src.wheels import Wheels, get_wheels
from lbench.workloads import registry
from lbench.workloads.dataset import file_digest
from lbench.workloads.own.describe import files_of

__all__ = ["BASE_REQUIREMENTS", "Built", "build"]

BASE_REQUIREMENTS = ("msgspec", "numpy")  # the handler's own
_OWN = "lbench"
_KEPT = 8  # packages in the cache; the least recently used go first


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside a package in the cache."""

    sha256: str
    manifest: Manifest
    parts: tuple[Part, ...]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A package, with its facts for messages."""

    path: Path  # in the cache: copy it
    sha256: str  # of the zip, hex
    zipped_bytes: int
    manifest: Manifest
    parts: tuple[Part, ...]  # the largest first
    warnings: tuple[str, ...]
    cached: bool  # it was there already

    @property
    def unzipped_bytes(self) -> int:
        return sum(part.unzipped_bytes for part in self.parts)

    @property
    def needs_s3(self) -> bool:
        """Whether it is too large for a request and has to be uploaded through S3."""
        return self.zipped_bytes > limits().package_zipped_max_bytes


def build(
    target: Target,
    workloads: Iterable[str] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    requirements: Iterable[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Built:
    """The package for these workloads, from the cache where it is there.

    Args:
        target: which Python, which processor.
        workloads: whose libraries go in, and a user's own with its files; None: all of lbench's own.
        files: more modules beside ours, by their path in the package.
        requirements: what those need.
        say: called with a line before a slow step.

    Raises:
        UnknownNameError: there is no such workload.
        InputError: the target has no wheel of something, the libraries cannot be downloaded, or it would be too large.
        LbenchError: the cache cannot be written.
    """
    chosen = registry.names() if workloads is None else tuple(dict.fromkeys(workloads))
    described = [registry.describe(name) for name in chosen]
    own = {one.packed: one.code for one in described if one.code is not None}
    theirs = {**(files or {}), **{name: content for code in own.values() for name, content in files_of(code).items()}}
    if len(own) > 1:
        raise InputError("a package can hold only one workload of your own: make one package for each")
    wanted = {*BASE_REQUIREMENTS, *requirements, *(need for one in described for need in one.requirements)}
    wheels = get_wheels(wanted, target, say)
    python = find_python(target.python)
    manifest = Manifest(
        lbench_version=__version__,
        handler=HANDLER,
        python=target.python,
        arch=target.arch,
        workloads=tuple(one.packed for one in described),
        packages={wheel.name: wheel.version for wheel in wheels.wheels},
        compiled=None if python is None else f"CPython {python.version}",
        own={name: OwnPacked(code.digest, code.file, code.module, code.function) for name, code in own.items()},
    )
    ours = dict(sorted({**shipped_sources(), **theirs}.items()))
    folder = cache_folder("packages")
    key = _key(manifest, ours, wheels, python)
    path, facts_path = folder / f"{key}.zip", folder / f"{key}.json"
    try:
        facts = _kept(path, facts_path)
        cached = facts is not None
        if facts is None:
            say(f"packing {len(wheels.wheels)} libraries for {target}")
            facts = _make(manifest, ours, wheels, python, folder, path)
            check_size(facts.parts, one_workload=len(chosen) == 1)
            facts_path.write_bytes(msgspec.json.encode(facts))
            _tidy(folder)
        path.touch()
        size = path.stat().st_size
    except OSError as error:
        raise LbenchError(
            f"cannot write the package in {folder} ({error.strerror}): "
            "free space there, or set XDG_CACHE_HOME to another folder"
        ) from None
    return Built(
        path=path,
        sha256=facts.sha256,
        zipped_bytes=size,
        manifest=facts.manifest,
        parts=facts.parts,
        warnings=(*wheels.warnings, *_uncompiled(target, python)),
        cached=cached,
    )


def _uncompiled(target: Target, python: Python | None) -> Iterable[str]:
    if python is None:
        yield (
            f"there is no Python {target.python} here to compile for it: the package holds sources only, "
            "and each cold start compiles them; install one and pack again"
        )


def _key(manifest: Manifest, ours: Mapping[str, bytes], wheels: Wheels, python: Python | None) -> str:
    """All that the zip's bytes depend on; how it is made too."""
    makers = [Path(module.__file__ or "").read_bytes() for module in (archive, compiling, prune)]
    inputs = [
        msgspec.to_builtins(manifest),
        files_digest(ours),
        [wheel.sha256 for wheel in wheels.wheels],
        None if python is None else [python.version, python.magic],
        [hashlib.sha256(maker).hexdigest() for maker in makers],
        zlib.ZLIB_RUNTIME_VERSION,
    ]
    return hashlib.sha256(msgspec.json.encode(inputs)).hexdigest()[:32]


def _kept(path: Path, facts_path: Path) -> _Facts | None:
    """What is in the cache, if it is whole."""
    try:
        facts = msgspec.json.decode(facts_path.read_bytes(), type=_Facts)
        return facts if file_digest(path) == facts.sha256 else None
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _make(
    manifest: Manifest, ours: Mapping[str, bytes], wheels: Wheels, python: Python | None, folder: Path, path: Path
) -> _Facts:
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        root = made / "root"
        root.mkdir()
        own = (_OWN, __version__)
        # Ours first: an error then names the library that holds a file of the same name.
        owners = dict.fromkeys(archive.add_files(ours, root), own)
        owners |= dict.fromkeys(archive.add_files({MANIFEST: _text(manifest)}, root), own)
        for wheel in wheels.wheels:
            names = archive.add_wheel(wheels.folder / wheel.file, root, manifest.arch)
            owners |= dict.fromkeys(names, (wheel.name, wheel.version))
        if python is not None:
            compiling.compile_modules(root, _modules(owners), python)
        sizes = archive.write_zip(root, made / "package.zip")
        facts = _Facts(sha256=file_digest(made / "package.zip"), manifest=manifest, parts=part_sizes(owners, sizes))
        (made / "package.zip").replace(path)
        return facts
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _text(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1) + b"\n"


def _modules(owners: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    """The modules to compile, by part."""
    modules: dict[str, list[str]] = {}
    for name, (part, _) in owners.items():
        if name.endswith(".py"):
            modules.setdefault(part, []).append(name)
    return modules


def _tidy(folder: Path) -> None:
    """Let the oldest packages go."""
    by_age = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[_KEPT:]:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
