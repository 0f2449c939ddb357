"""A function that is already deployed, called with payloads."""
