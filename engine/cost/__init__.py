"""The charges of AWS: exact decimal arithmetic over list prices."""
