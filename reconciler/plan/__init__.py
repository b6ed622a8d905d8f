"""Desired against observed: what has to change, in which order, and whether that is too much. Pure."""
