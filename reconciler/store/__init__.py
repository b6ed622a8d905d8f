"""Durable memory, and the only place where the two journeys meet."""
