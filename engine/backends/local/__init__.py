"""Tasks in warm worker processes on this machine."""
