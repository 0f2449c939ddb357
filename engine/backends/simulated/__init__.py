"""AWS Lambda as a model in virtual time."""
