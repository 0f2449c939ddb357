"""Is the answer right, and does a package work: checked in processes of their own."""
