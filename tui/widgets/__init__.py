"""Part of the screens."""
