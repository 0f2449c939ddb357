"""Finds and removes what crashed runs have left (`lbench gc`)."""
