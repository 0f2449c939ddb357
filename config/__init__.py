"""Prices, limits, defaults and settings: data files with their source and date, and their readers."""
