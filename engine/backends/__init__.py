"""Where tasks run: one small protocol (`base`), and a module for each kind of backend."""
