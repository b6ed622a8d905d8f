"""Places that hold callbacks."""
