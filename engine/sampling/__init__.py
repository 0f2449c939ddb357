"""A bounded sample of a job on this machine: what `lbench check` and `lbench estimate` stand on."""
