"""The machine: its fingerprint, what its processes may use, and its condition while it measures."""
