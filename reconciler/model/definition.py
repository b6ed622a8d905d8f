"""The canonical content of a resource, and every rule that a definition must obey.

A definition is a key, a content and a digest. The content is plain JSON, spelled like the YAML that people write
(`sendSni`, `linePattern`), settled (variables filled in, the device type's payload config inherited) and without the
fields that equal their default, so that a default added later moves no digest.

The files' loader and the engine's publish door use the same rules from here; neither trusts the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.diagnostics import Severity
from reconciler.model.resource import Callback, DeviceType, Key

__all__ = ["Content", "Definition", "Finding", "JsonValue", "check_callback", "check_device_type"]

JsonValue: TypeAlias = "None | bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"
Content: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Definition:
    """What is declared under a key; equal digests mean equal contents (`codec.content_digest`)."""

    key: Key
    content: Content
    digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a content breaks.

    `path` leads to the value at fault; `offset` and `length` mark the characters within its text, None for all of it.
    The other attributes are those of `Diagnostic`.
    """

    path: tuple[str, ...]
    code: str
    summary: str
    detail: str
    help: str = ""
    severity: Severity = Severity.ERROR
    offset: int | None = None
    length: int = 1


def check_device_type(key: Key, content: Content) -> tuple[DeviceType | None, tuple[Finding, ...]]:
    """Build the device type; None when a finding is an error."""
    raise NotImplementedError


def check_callback(key: Key, content: Content) -> tuple[Callback | None, tuple[Finding, ...]]:
    """Build the callback; None when a finding is an error."""
    raise NotImplementedError
