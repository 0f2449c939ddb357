"""Where frames come from: a live engine, or a record that is replayed."""
