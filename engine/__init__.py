"""The engine: the one process that measures. Everyone else looks at its journal."""
