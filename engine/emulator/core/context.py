"""State that all environments of one emulator share."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from lbench.engine.emulator.core.faults import Weather
from lbench.engine.emulator.core.spec import EmulatorConfig, FunctionSpec
from lbench.engine.emulator.core.throttles import Limits
from lbench.engine.emulator.resources.confinement import Confinement
from lbench.engine.emulator.resources.scratch import Scratch

__all__ = ["Shared"]


@dataclass(slots=True)
class Shared:
    """The emulator's shared state."""

    config: EmulatorConfig
    limits: Limits
    scratch: Scratch
    confinement: Confinement
    weather: Weather | None = None  # None: no injected faults
    numbers: itertools.count[int] = field(default_factory=itertools.count)  # of processes, for the guardian's marks

    def more_variables(self, spec: FunctionSpec, folder: Path) -> dict[str, str]:
        """Variables for the bootstrap, besides Lambda's own.

        A private /tmp hides the machine's, so neither the code nor Python may lie there.
        """
        if not self.config.private_tmp or sys.platform != "linux":
            return {}
        libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        needed = [spec.code, sys.prefix, sys.base_prefix, sys.executable, __file__, *sys.path, *libraries]
        needed += [spec.python or "", *(spec.libraries or ())]
        if any(path and Path("/tmp") in Path(path).resolve().parents for path in needed):
            return {}
        return {"LBENCH_OWN_TMP": str(folder)}
