"""What `engine check` and `engine backup` tell about a store."""

from collections.abc import Sequence
from pathlib import Path

from reconciler.cli.render.text import plural
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.store.sqlite_check import Condition

__all__ = ["findings", "kept_apart", "summary"]

_RESTORE = (
    "Stop the engine and keep the directory as it is. Then put the last backup into an empty one, and look at both:\n\n"
    "    reconciler engine check --data DIR\n"
    "    reconciler explain {code}"
)


def findings(condition: Condition, data: Path) -> Sequence[Diagnostic]:
    """What is wrong with the store in a data directory."""
    if condition.damage:
        return [
            Diagnostic(
                "store-damaged",
                "The file of the store is damaged",
                f"SQLite says of the store in {data}: {told}",
                _RESTORE.format(code="store-damaged"),
            )
            for told in condition.damage
        ]
    if condition.form != condition.latest:
        return [_of_another_form(condition, data)]
    return [
        Diagnostic(
            "store-inconsistent",
            "The store holds what can not be true",
            f"The store in {data} has {told}",
            _RESTORE.format(code="store-inconsistent"),
        )
        for told in condition.broken
    ]


def summary(condition: Condition, data: Path) -> str:
    """What was found sound."""
    messages, deliveries, revisions = condition.counts
    counts = (
        plural(messages, "message"),
        plural(deliveries, "delivery", "deliveries"),
        plural(revisions, "revision"),
    )
    return f"The store in {data} is sound: {', '.join(counts)}."


def kept_apart(data: Path) -> str:
    """What belongs to a backup and is not in it."""
    apart = [name for name in ("fingerprint.key", "tokens") if (data / name).exists()]
    if not apart:
        return "A restored store makes a new fingerprint.key: every secret looks changed once."
    return (
        f"Not in the copy: {' and '.join(str(data / name) for name in apart)}. Keep them elsewhere, for a copy without "
        "the key helps nobody to guess a secret; without the key every secret looks changed once after a restore."
    )


def _of_another_form(condition: Condition, data: Path) -> Diagnostic:
    later = condition.form > condition.latest
    return Diagnostic(
        "store-of-another-form",
        "The store was written by another version",
        f"The store in {data} has form {condition.form}, this version knows {condition.latest}: the file is sound, "
        "what is in it was not looked at.",
        "Check it with the version that wrote it." if later else "Start an engine on it once, then check it again.",
        severity=Severity.WARNING,
    )
