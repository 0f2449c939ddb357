"""The screens: a Textual app that draws the journal of an engine in another process. It never measures."""
