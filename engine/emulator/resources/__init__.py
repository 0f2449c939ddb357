"""CPU share and memory limit of an environment."""
