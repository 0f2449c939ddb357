"""Drives one job over one backend: stages, attempts, retries, hedging."""
