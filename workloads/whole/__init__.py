"""A workload as one task: its answer in one piece, as a person would write it. The backend `loop` runs it."""
