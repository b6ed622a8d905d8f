"""The tests: see the map of the tree in the README."""
