"""A job ready to run: its workload and parameters, and its data set as a file."""

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
    """A loaded job."""

    description: Description
    workload: Workload[Any]
    params: Params
    data: Any  # None: the workload reads no data
    info: DataInfo | None
    published: Published | None


def keep(loaded: Dataset, file: Path) -> tuple[Dataset, DataInfo, Published]:
    """Write a data set to a file; returns it mapped from there, described for the record, and as backends get it.

    Raises:
        EncodingError: it contains a value that cannot be encoded.
        OSError: the file cannot be written.
    """
    digest = dataset.write_dataset(loaded, file)
    size = file.stat().st_size
    info = DataInfo(loaded.source, digest, loaded.rows, loaded.columns, size, loaded.notes)
    return dataset.open_dataset(file), info, Published(file, digest, size)
