"""Messages in, deliveries out: the engine that executes what was applied."""
