"""The plan of a measurement: parsed, validated, opened."""
