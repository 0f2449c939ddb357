"""The backends: one small protocol (`base`), and a module for each kind."""
