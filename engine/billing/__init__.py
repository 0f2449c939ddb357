"""The possible, expected and actual cost of a run."""
