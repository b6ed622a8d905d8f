"""Running the tests of callbacks against one revision. Pure, but for what reading messages needs.

1. `given` is what `POST /v1/messages` takes, read as it reads; `deviceType` and `type` are the callback's unless they
   are given. A message that the door would refuse fails the test.
2. Messages of another type or device type are tested too: `fires: false` is for those.
3. A failure is a finding like any other: a code with a page, and the place of what was expected.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from reconciler.codec.canonical import revision_digest
from reconciler.codec.message import read_message
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.message import Refusal
from reconciler.model.resource import Callback, Key
from reconciler.model.revision import Owned, Publication, Revision
from reconciler.preview.expectation import Mismatch, MismatchCode, verdict
from reconciler.preview.firing import fire, fired_by
from reconciler.runtime.routing import Router

__all__ = ["SUMMARIES", "Failure", "Trial", "Written", "router_of", "run_test"]

SUMMARIES: Final[Mapping[MismatchCode, str]] = {
    "expectation-not-met": "What would be sent is not what the test expects",
    "expectation-not-of-channel": "A callback of this channel has nothing of the kind",
    "expectation-contradictory": "The test expects what cannot be at the same time",
    "callback-did-not-fire": "The message does not fire the callback",
    "callback-fired": "The message fires the callback, and must not",
}

_WHENEVER: Final = datetime.fromtimestamp(0, UTC)
_FIRST_FIELD = re.compile("“([A-Za-z]+)”")
# What is wrong with a key that may be there, not with its value.
_AT_KEY: Final = frozenset({"expectation-not-of-channel", "expectation-contradictory", "callback-did-not-fire"})


class Written(Protocol):
    """A test as it was written: `config.callback_tests.CallbackTest`."""

    @property
    def callback(self) -> Callback: ...
    @property
    def name(self) -> str: ...
    @property
    def given(self) -> Mapping[str, JsonValue]: ...
    @property
    def expect(self) -> Mapping[str, JsonValue]: ...
    @property
    def faults(self) -> tuple[Diagnostic, ...]: ...
    @property
    def span(self) -> Span: ...
    def place(self, *steps: str | int, at_key: bool = False) -> Span: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason why a test failed, with what was expected and what would be sent, where those are texts."""

    diagnostic: Diagnostic
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A test that was run. `warnings` are those that its deliveries would carry."""

    written: Written
    environment: str | None
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def callback(self) -> Key:
        """Whose test it is."""
        return self.written.callback.key

    @property
    def name(self) -> str:
        """What it is called."""
        return self.written.name

    @property
    def span(self) -> Span:
        """Where it stands; looked up only when asked for."""
        return self.written.span

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.failures


def router_of(definitions: Mapping[Key, Definition], *, device_types: Iterable[str]) -> Router:
    """The router of the revision that these definitions would be; of some device types only."""
    wanted = frozenset(device_types)
    owned = {key: Owned(each, "") for key, each in definitions.items() if key.device_type in wanted}
    return Router.compile(Revision(1, revision_digest(owned.items()), owned, Publication(at=None, by="")))


def run_test(router: Router, test: Written, *, environment: str | None) -> Trial:
    """Run one test against the revision of an environment."""
    failures, warnings = _run(router, test)
    return Trial(test, environment, failures, warnings)


def _run(router: Router, test: Written) -> tuple[tuple[Failure, ...], tuple[str, ...]]:
    if test.faults:
        return tuple(Failure(each) for each in test.faults), ()
    callback = test.callback
    value = {"deviceType": callback.key.device_type, **test.given}
    if value.get("type") is None:
        value["type"] = fired_by(callback.type)
    message = read_message(value, received_at=_WHENEVER)
    if isinstance(message, Refusal):
        return (Failure(_refused(message, test)),), ()
    came = verdict(test.expect, fire(router, message, callback.key), channel=callback.channel.kind)
    return tuple(_failure(each, test) for each in came.mismatches), came.warnings


def _refused(refusal: Refusal, test: Written) -> Diagnostic:
    field = _FIRST_FIELD.search(refusal.reason)
    steps = ("given", field[1]) if field and field[1] in test.given else ("given",)
    span = test.place(*steps)
    return Diagnostic(refusal.code, "The engine would refuse this message", refusal.reason, span=span)


def _failure(mismatch: Mismatch, test: Written) -> Failure:
    span = test.place("expect", *mismatch.path, at_key=mismatch.code in _AT_KEY)
    diagnostic = Diagnostic(mismatch.code, SUMMARIES[mismatch.code], mismatch.says, span=span)
    return Failure(diagnostic, mismatch.expected, mismatch.found)
