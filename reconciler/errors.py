"""Every exception we raise on purpose.

    ReconcilerError
    ├── GrammarError            a payload config or template that does not parse
    ├── PlanStale               the target moved since the plan was made
    ├── TargetError             a target did not do what was asked
    │   ├── TargetRejected      it answered, and refused
    │   └── TargetUnavailable   it could not be reached, or broke
    └── StoreError              durable memory failed
        ├── RevisionConflict    somebody else published first
        ├── StoreBusy           another process owns the store
        └── StoreFull           the disk holds no more

A mistake in the user's input is a value (`reconciler.diagnostics`), a broken promise is one of these, a bug is a
traceback. Exceptions of third parties are translated in the module that owns the third party, `raise … from`.
"""

__all__ = [
    "GrammarError",
    "PlanStale",
    "ReconcilerError",
    "RevisionConflict",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "TargetError",
    "TargetRejected",
    "TargetUnavailable",
]


class ReconcilerError(Exception):
    """The root: catch it only at the edge, to turn it into words and an exit code."""


class GrammarError(ReconcilerError):
    """A text of one of our small languages does not parse.

    Attributes:
        code: kebab-case slug of the rule that was broken; it is also the diagnostic's code.
        text: the whole text.
        offset: index in `text` of the first offending character, `len(text)` when something is missing at the end.
        length: how many characters are at fault, at least 1.
        reason: a full sentence: what is wrong and what was expected.
    """

    def __init__(self, code: str, text: str, offset: int, reason: str, *, length: int = 1) -> None:
        super().__init__(f"{reason} (at character {offset + 1} of {text!r})")
        self.code = code
        self.text = text
        self.offset = offset
        self.length = max(length, 1)
        self.reason = reason


class PlanStale(ReconcilerError):
    """The target is no longer in the state that the plan was made for."""


class TargetError(ReconcilerError):
    """A target did not do what was asked of it."""


class TargetRejected(TargetError):
    """The target answered and refused.

    Attributes:
        status: HTTP status of the answer; 401 and 403 mean the token, 422 the content.
        problems: the sentences that the target gave, possibly none.
    """

    def __init__(self, message: str, *, status: int, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems


class TargetUnavailable(TargetError):
    """The target could not be reached, or broke while answering."""


class StoreError(ReconcilerError):
    """Durable memory failed; nothing that was not confirmed before may be assumed kept."""


class RevisionConflict(StoreError):
    """The revision to publish was built on another one than the current.

    Attributes:
        expected: the number it was built on, 0 for none.
        current: the number that is current, 0 for none.
    """

    def __init__(self, *, expected: int, current: int) -> None:
        super().__init__(f"built on revision {expected}, but revision {current} is current")
        self.expected = expected
        self.current = current


class StoreBusy(StoreError):
    """Another process owns this store; two writers would break its promises."""


class StoreFull(StoreError):
    """The disk holds no more; what was confirmed is safe, what was not has to be sent again."""
