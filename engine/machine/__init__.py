"""What machine this is, what its processes may use, and its condition while it measures."""
