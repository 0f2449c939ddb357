"""What the emulator is told: its functions and how to run them."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["EmulatorConfig", "FunctionSpec", "lbench_function"]

RuntimeClient = Literal["awslambdaric", "python", "plain"]


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One function, as `CreateFunction` would describe it, with its code as a folder."""

    name: str
    handler: str  # "module.function", found in `code`
    code: str  # a folder; it is LAMBDA_TASK_ROOT, the working folder, and comes first on the path
    memory_mb: int = 1769
    timeout_s: float = 3.0  # AWS's own default
    concurrency: int | None = None  # reserved concurrency; None: only the emulator's limit holds
    environment: dict[str, str] = {}
    # The Runtime API's client. "python": ours in the place of awslambdaric's C++ one; "plain": our loop too.
    # Where awslambdaric (or its C++ client) is not installed, the next one is taken by itself.
    runtime_client: RuntimeClient = "awslambdaric"
    code_sha256: str | None = None  # hex; told by GetFunctionConfiguration


class EmulatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file of `python -m lbench.engine.emulator --config`; no functions: lbench's own."""

    functions: list[FunctionSpec] = []
    concurrency: int = 1000  # invocations at once, over all functions; more get 429
    freeze: bool = True  # stop environments between invocations, as Lambda does
    region: str = "us-east-1"


def lbench_function(memory_mb: int = 1769, *, concurrency: int | None = None) -> FunctionSpec:
    """Lbench's own function of that memory size, `lbench-<memory_mb>`; its code folder is made when it is not there."""
    from lbench.engine.emulator.code import code_folder

    folder, digest = code_folder()
    return FunctionSpec(
        name=f"lbench-{memory_mb}",
        handler="lbench.lambda_src.handler.handle",
        code=str(folder),
        memory_mb=memory_mb,
        timeout_s=900.0,
        concurrency=concurrency,
        code_sha256=digest,
    )
