"""Options of the command line that are settings: name, range, default and meaning stand in `config.settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lbench.config.settings import known_settings

__all__ = ["setting_options"]


def setting_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these settings, in this order; a value that is not given is None."""
    settings = {setting.name: setting for setting in known_settings()}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            setting = settings[name]
            text = setting.meaning[:1].upper() + setting.meaning[1:].replace("(none:", "(default:")
            if setting.default is not None:
                text += f" (default {setting.default if isinstance(setting.default, str) else f'{setting.default:g}'})"
            metavar = _METAVARS.get(name) or (
                setting.expected.replace(" or ", "|") if " or " in setting.expected else "N"
            )
            command = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=f"{text}.")(command)
        return command

    return decorate


_METAVARS = {
    "memory": "MB",
    "region": "R",
    "s3_endpoint": "URL",
    "timeout": "S",
    "repeats": "N|auto",
    "for": "SECONDS",
}
