"""The append-only record of a session: its events, their writer and reader, the lock."""
