"""The region and processor where Lambda's work runs and is charged: from the settings, else the defaults."""

from __future__ import annotations

from lbench.config import manifest
from lbench.config.manifest import Architecture
from lbench.engine.backends.settings import AwsSettings, LambdaSettings, SimulatedSettings

__all__ = ["architecture_of", "host_architecture", "region_of"]

_DEFAULT_REGION = "us-east-1"


def host_architecture() -> Architecture:
    """Lambda's name for the architecture of this machine."""
    return manifest.host_architecture() or "x86_64"


def architecture_of(settings: LambdaSettings) -> Architecture:
    """The chosen processor; else x86_64 on AWS and simulated, and this machine's for `emulated`."""
    return settings.arch or ("x86_64" if isinstance(settings, AwsSettings | SimulatedSettings) else host_architecture())


def region_of(settings: LambdaSettings) -> str:
    """The chosen region; else on AWS the chain's, else us-east-1. `emulated` never asks the chain.

    Raises:
        InputError: AWS's configuration cannot be used.
    """
    if settings.region is not None:
        return settings.region
    if not isinstance(settings, AwsSettings):
        return _DEFAULT_REGION
    from lbench.engine.backends.aws_client.endpoints import chain_region

    return chain_region()
