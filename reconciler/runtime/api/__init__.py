"""The engine's doors: HTTP in, JSON out; one module for each door."""
