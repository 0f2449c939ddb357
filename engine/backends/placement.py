"""In which region and on which processor Lambda's work is done and charged: the setting's, else what stands for it."""

from __future__ import annotations

from lbench.config import manifest
from lbench.config.manifest import Architecture
from lbench.engine.backends.settings import AwsSettings, LambdaSettings

__all__ = ["architecture_of", "host_architecture", "region_of"]

_DEFAULT_REGION = "us-east-1"


def host_architecture() -> Architecture:
    """Lambda's name for the architecture of this machine."""
    return manifest.host_architecture() or "x86_64"


def architecture_of(settings: LambdaSettings) -> Architecture:
    """The one chosen; else x86_64 on AWS, and emulated this machine's."""
    return settings.arch or ("x86_64" if isinstance(settings, AwsSettings) else host_architecture())


def region_of(settings: LambdaSettings) -> str:
    """The one chosen; else on AWS the chain's, and us-east-1. What is emulated never asks the chain.

    Raises:
        InputError: AWS's configuration cannot be used.
    """
    if settings.region is not None:
        return settings.region
    if not isinstance(settings, AwsSettings):
        return _DEFAULT_REGION
    from lbench.engine.backends.aws_client.endpoints import chain_region

    return chain_region()
