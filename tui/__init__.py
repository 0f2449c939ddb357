"""The screens: a session as it happens. Draws journals, never measures."""
