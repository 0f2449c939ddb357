"""Work beside the event loop never fails in silence: a fault ends the screens with its line."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lbench.tui
from lbench.tui.app import LbenchApp
from lbench.tui.background_errors import FaultsEnd, beside
from lbench.tui.feeds.block_reader import BlockReader
from lbench.tui.feeds.live import EngineFeed

AppOf = Callable[..., LbenchApp]


def fails(*_: Any, **__: Any) -> Any:
    raise TypeError("a fault of ours")


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ("4", "lbench.tui.screens.sessions.entries"),
        ("5", "lbench.tui.screens.compare.compare_folders"),
        ("2", "lbench.tui.screens.scaling.load_sweep"),
        ("r ctrl+o", "lbench.tui.screens.options.estimate_arguments"),
    ],
)
async def test_a_fault_of_a_worker_ends_the_screens(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, keys: str, place: str
) -> None:
    monkeypatch.setattr(place, fails)
    app = app_of()
    with pytest.raises(TypeError, match="a fault of ours"):
        async with app.run_test(size=(200, 60)) as pilot, asyncio.timeout(60):
            await pilot.press(*keys.split())
            while app._exception is None:
                await pilot.pause(0.01)


async def test_a_fault_in_a_thread_of_the_app_ends_the_screens(app_of: AppOf) -> None:
    app = app_of()
    with pytest.raises(TypeError, match="a fault of ours"):
        async with app.run_test(size=(80, 24)) as pilot, asyncio.timeout(60):
            beside(app, fails, name="last")
            while app._exception is None:
                await pilot.pause(0.01)


def test_every_class_with_a_worker_hears_of_its_faults() -> None:
    """Textual drops the error of a worker that must not end the app by itself."""
    folder = Path(str(lbench.tui.__path__[0]))
    found = [path for path in folder.rglob("*.py") if "    @work(" in path.read_text(encoding="utf-8")]
    assert found
    for path in found:
        module = importlib.import_module("lbench.tui." + ".".join(path.relative_to(folder).with_suffix("").parts))
        own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
        with_workers = [one for one in own if "    @work(" in inspect.getsource(one)]
        assert with_workers and all(issubclass(one, FaultsEnd) for one in with_workers), path


def test_a_record_that_cannot_be_read_for_an_unknown_reason_fails_where_it_is_drawn(tmp_path: Path) -> None:
    large = tmp_path / "events.jsonl"
    large.write_bytes(bytes(1 << 25))
    reader = BlockReader(large, fails, ahead=True)
    with pytest.raises(TypeError, match="a fault of ours"):
        while reader.take() is None:
            assert not reader.over
    reader.close()


def test_an_engine_that_cannot_be_started_for_an_unknown_reason_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    feed = EngineFeed(fails)
    feed._thread.join()
    assert feed.over and "internal error (TypeError: a fault of ours): please report it with" in str(feed._problem)


@pytest.mark.filterwarnings("error")
def test_a_thread_that_ends_after_the_app_was_left_raises(app_of: AppOf) -> None:
    async def leave() -> LbenchApp:
        app = app_of()
        async with app.run_test():
            pass
        return app

    app = asyncio.run(leave())
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as threads:
        patch.setattr(app._loop, "is_closed", lambda: False)  # as if it ended between a look at it and the call
        with pytest.raises(RuntimeError, match="closed"):
            threads.submit(app.call_from_thread, lambda: None).result()
    gc.collect()  # no coroutine that was never awaited
