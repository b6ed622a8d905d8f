"""IoT callbacks as code: a reconciler for callback definitions and the engine that delivers them.

The package is a program: its public surface is the command line, the YAML schemas and the engine's HTTP doors.
Importing it loads nothing else, so that `reconciler --version` costs a bare interpreter.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
