"""Files that a command writes: the engine's own, which the screens write too."""

from lbench.engine.outputs import FORMATS, check_writable, csv_text, encode, format_of, write

__all__ = ["FORMATS", "check_writable", "csv_text", "encode", "format_of", "write"]
