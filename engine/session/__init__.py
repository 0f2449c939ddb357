"""A session as its readers see it: the view folded from the journal, and the list of sessions."""
