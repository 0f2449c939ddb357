"""The Scaling screen without widgets: which sweep is shown, and its curves and tables."""
