"""Looks at sessions: pure functions over what was measured."""
