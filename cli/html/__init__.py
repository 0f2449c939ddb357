"""The report as one HTML file: what it says, its figures, its page."""
