"""Starting child processes, and ending them and what they leave with their parent."""
