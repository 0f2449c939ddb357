"""Tasks on AWS Lambda, or on the emulator: one backend, three transports."""
