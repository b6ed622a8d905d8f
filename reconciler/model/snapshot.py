"""Two pictures of a set of definitions: what the files declare, and what a target holds.

1. A definition is compared by its digest; contents are fetched only where digests differ, so an unchanged target of
   10,000 definitions costs one list of digests.
2. What another project owns at a target is foreign: it is set aside before anything is compared, and never touched.
3. What the files last brought about is remembered by the target (`Applied`). What differs from it was changed behind
   the files: that is drift, told apart from what the files intend.
4. A secret is known by fingerprints alone: keyed digests that only tell whether its value is still the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.diagnostics import Span
from reconciler.model.definition import Definition
from reconciler.model.resource import Key

__all__ = ["Applied", "Blame", "Desired", "Fingerprint", "Observed", "SecretState"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The state of a target: the number of its current revision, 0 before the first, and the digest of all it holds."""

    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Desired:
    """What the files declare for one environment; each key remembers the line that introduced it.

    Attributes:
        moved: old key → new key, as the files' `moved` entries say; a device type's entry stands for its callbacks too.
        removed: device types that the files want gone; others that they do not mention are left alone.
    """

    owner: str
    definitions: Mapping[Key, Definition]
    origins: Mapping[Key, Span]
    moved: Mapping[Key, Key] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Applied:
    """What the last publication by the files left of the owner's definitions; `contents` of those that drifted."""

    revision: int
    digests: Mapping[Key, str]
    contents: Mapping[Key, Definition]


@dataclass(frozen=True, slots=True)
class SecretState:
    """Fingerprints of a secret that definitions refer to: as of the last publication, and of its value now.

    None where there was no value. `callbacks` are the owner's that refer to it.
    """

    published: str | None
    current: str | None
    callbacks: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a target holds.

    Attributes:
        digests: every definition that the observing project owns.
        definitions: the contents of those that were asked for; at least all whose digests the observer did not know.
        foreign: what other projects own, key → owner.
        fingerprint: the state that all of this was read from, in one consistent view.
        applied: None when the files never brought anything about here.
        secrets: by name, those that the owner's definitions refer to; empty where the target knows none.
        blame: who changed what drifted, as far as the target's history tells.
    """

    # Without a text of their own: asyncio makes one of what its main task returned, which took 0.1 s for 10,000.
    digests: Mapping[Key, str] = field(repr=False)
    definitions: Mapping[Key, Definition] = field(repr=False)
    foreign: Mapping[Key, str] = field(repr=False)
    fingerprint: Fingerprint
    applied: Applied | None = field(default=None, repr=False)
    secrets: Mapping[str, SecretState] = field(default_factory=dict)
    blame: Mapping[Key, "Blame"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blame:
    """Who changed something, in which revision, and when."""

    by: str
    revision: int
    at: datetime | None
