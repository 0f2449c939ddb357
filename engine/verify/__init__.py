"""Checks of answers and packages, in processes of their own."""
