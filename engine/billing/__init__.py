"""What a run may cost, will cost and has cost."""
