"""Ways out of the engine: one request becomes one outcome."""
