"""The emulator's value types: functions, invocations, errors, faults."""
