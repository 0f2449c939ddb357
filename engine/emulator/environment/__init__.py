"""One execution environment: process, Runtime API, deadline."""
