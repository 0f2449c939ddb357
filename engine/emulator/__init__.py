"""AWS Lambda on this machine: the Invoke API, the Runtime API, one process per environment."""
