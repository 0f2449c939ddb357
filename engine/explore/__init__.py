"""Interactive runs: the newest update computed on backends that stay open."""
