"""What two environments hold differently, as values."""

from dataclasses import dataclass

from reconciler.config.cause import Cause
from reconciler.diagnostics import Span
from reconciler.model.plan import FieldChange
from reconciler.model.resource import Key

__all__ = ["Contrast", "Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A definition that differs.

    Attributes:
        only: the environment that alone has it; None when both have it.
        fields: each with its reasons; `before` is what the first environment has.
        causes: why one environment has no such definition.
    """

    key: Key
    origin: Span | None
    only: str | None
    fields: tuple[tuple[FieldChange, tuple[Cause, ...]], ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two environments: what differs, by key, and how many definitions are the same."""

    one: str
    other: str
    differences: tuple[Difference, ...]
    same: int
