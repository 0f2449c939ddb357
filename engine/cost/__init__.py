"""What AWS charges: exact decimal arithmetic over list prices."""
