"""Two pictures of a set of definitions: what the files declare, and what a target holds.

1. A definition is compared by its digest; contents are fetched only where digests differ, so an unchanged target of
   10,000 definitions costs one list of digests.
2. What another project owns at a target is foreign: it is set aside before anything is compared, and never touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.diagnostics import Span
from reconciler.model.definition import Definition
from reconciler.model.resource import Key

__all__ = ["Desired", "Fingerprint", "Observed"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The state of a target: the number of its current revision, 0 before the first, and the digest of all it holds."""

    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Desired:
    """What the files declare for one environment; each key remembers the line that introduced it."""

    owner: str
    definitions: Mapping[Key, Definition]
    origins: Mapping[Key, Span]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a target holds.

    Attributes:
        digests: every definition that the observing project owns.
        definitions: the contents of those that were asked for; at least all whose digests the observer did not know.
        foreign: what other projects own, key → owner.
        fingerprint: the state that all of this was read from, in one consistent view.
    """

    digests: Mapping[Key, str]
    definitions: Mapping[Key, Definition]
    foreign: Mapping[Key, str]
    fingerprint: Fingerprint
