"""The session document, and the files that it is written to."""
