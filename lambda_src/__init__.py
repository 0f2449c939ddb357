"""What runs on Lambda: the handler."""
