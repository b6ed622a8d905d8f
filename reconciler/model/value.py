"""Values that are made thousands of times a second: frozen for everyone who reads the types, plain when they are made.

A frozen dataclass sets each attribute through `object.__setattr__`: 1.4 us for ten of them, where assignment takes 0.5.
A message makes a dozen such values on its way; in batches of 50 that was 15 to 21 % of the engine's own work, without
sockets and database, in three paired runs (single posts varied too much to tell). So the type checker keeps these
frozen (`tests/typing/contracts.py` shows that it does), and the interpreter does not spend time on it.

Everything that is not made for each message is an ordinary `dataclass(frozen=True, slots=True)`.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A slotted dataclass with equality and hash, frozen by its type alone."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
