"""The code that runs on Lambda, and the commands that deploy it."""
