"""What a person asks to be measured: parsed, validated, opened."""
