"""The terminal: driver, capabilities, frame rate, signals."""
