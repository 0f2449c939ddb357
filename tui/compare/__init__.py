"""The Compare screen without widgets: which sessions are compared, and their lines."""
