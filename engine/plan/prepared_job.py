"""A job ready to be run: its workload and parameters, and the data set that its runs read, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbench.engine.backends.base import Published
from lbench.engine.model import DataInfo
from lbench.workloads import dataset
from lbench.workloads.dataset import Dataset
from lbench.workloads.model import Description, Params, Workload

__all__ = ["Prepared", "keep"]


@dataclass(slots=True)
class Prepared:
    """A job that was loaded."""

    description: Description
    workload: Workload[Any]
    params: Params
    data: Any  # None: it reads none
    info: DataInfo | None
    published: Published | None


def keep(loaded: Dataset, file: Path) -> tuple[Dataset, DataInfo, Published]:
    """Write a data set into a file, and go on with that: mapped, described for the record, and as backends get it.

    Raises:
        EncodingError: it holds what cannot travel.
        OSError: the file cannot be written.
    """
    digest = dataset.write_dataset(loaded, file)
    size = file.stat().st_size
    info = DataInfo(loaded.source, digest, loaded.rows, loaded.columns, size, loaded.notes)
    return dataset.open_dataset(file), info, Published(file, digest, size)
