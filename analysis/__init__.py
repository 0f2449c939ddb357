"""Looks at sessions: statistics, comparisons, warnings; pure functions."""
