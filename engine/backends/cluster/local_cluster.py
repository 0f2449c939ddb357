"""A Dask cluster of this machine's processes, as a process of its own: `python -m ...local_cluster WORKERS FOLDER`.

The scheduler's work is not the engine's. It speaks TLS with certificates of its own: whoever reaches a scheduler can run
code, and other people of this machine can reach loopback too. It ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lbench.engine.processes import child as children
from lbench.engine.processes.guardian_client import Guard
from lbench.engine.processes.lifeline import die_with_parent
from lbench.errors import BackendError

__all__ = ["LocalCluster"]

_START_S = 120.0
_STOP_S = 10.0
_LOG = "cluster.log"
_MODULE = "lbench.engine.backends.cluster.local_cluster"
_PREFIX = "lbench-dask-"  # of its folder, then the engine's process


class LocalCluster:
    """Starts it and stops it; both on a running loop, in the main thread."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._child: children.Child | None = None
        self._guard: Guard | None = None  # removes the folder and all processes where the engine is killed
        self._folder: Path | None = None

    async def start(self) -> tuple[str, dict[str, str | None]]:
        """Start the cluster; returns the scheduler's address, and `ca`, `cert`, `key` as texts.

        Raises:
            BackendError: it does not start.
        """
        await asyncio.to_thread(_sweep)
        self._folder = folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._guard = guard = Guard("dask")
            guard.folder(folder)  # announced before it is made
            folder.mkdir(mode=0o700)
            with (folder / _LOG).open("wb") as log:
                self._child = child = children.start(
                    [sys.executable, "-P", "-m", _MODULE, str(self.workers), str(folder)],
                    env=os.environ | guard.variables(0),
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        except OSError as error:
            await self.stop()
            raise BackendError(f"dask: a local cluster cannot start in {folder}: {error.strerror}") from None
        guard.watch(child.pid)
        try:
            async with asyncio.timeout(_START_S):
                found = json.loads(await child.first_line())
        except (TimeoutError, ValueError):
            why = (folder / _LOG).read_text("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
            await self.stop()
            raise BackendError(f"dask: a local cluster does not start: {why[0]}") from None
        return found["address"], found

    async def stop(self) -> None:
        """End the scheduler and the workers; may be called again."""
        child, self._child = self._child, None
        if child is not None:
            if not child.stdin.closed:
                child.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await child.wait()
            child.kill()  # its whole group
            await child.wait()
            if child.stdout is not None:
                child.stdout.close()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.close()


def _sweep() -> None:
    """Remove the folders that killed engines have left behind."""
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
            process = folder.name.removeprefix(_PREFIX).partition("-")[0]
            ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if ours and process.isdigit() and not children.is_there(int(process)):
                shutil.rmtree(folder, ignore_errors=True)


async def _serve(workers: int, folder: str) -> None:
    import dask
    from distributed import LocalCluster as Cluster
    from distributed import Security

    security: Any = Security.temporary()
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.work-stealing": False,
        "temporary-directory": folder,
    }
    with dask.config.set(settings):
        async with Cluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            asynchronous=True, security=security, local_directory=folder,
        ) as cluster:  # fmt: skip
            print(
                json.dumps(
                    {
                        "address": cluster.scheduler_address,
                        "ca": security.tls_ca_file,
                        "cert": security.tls_client_cert,
                        "key": security.tls_client_key,
                    }
                ),
                flush=True,
            )
            await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
