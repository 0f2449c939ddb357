"""The engine as a process: its server, control socket, client and discovery."""
