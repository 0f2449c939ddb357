"""Lambda's control plane and Invoke."""
