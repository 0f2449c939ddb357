"""Holds `sitecustomize`, which the recorded script's process finds first on its path."""
