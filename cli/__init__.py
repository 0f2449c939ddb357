"""The `lbench` command."""

__all__ = ["main"]


def main() -> None:
    """Entry point of the `lbench` command."""
    from lbench.cli.main import command

    command()
