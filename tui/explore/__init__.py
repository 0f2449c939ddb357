"""Part of the screens: exploring."""
