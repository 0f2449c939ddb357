"""Looks at sessions: statistics, comparisons, warnings; pure functions, and the list of what was recorded."""
