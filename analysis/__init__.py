"""Statistics, comparisons and warnings: pure functions of recorded sessions."""
