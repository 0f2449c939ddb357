"""Carries out a plan: every run in its order, recorded and checked."""
