"""The sources of frames: a live engine, or a record that is replayed."""
