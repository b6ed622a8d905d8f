"""The tests of callbacks: what the files give and expect, as an environment settles it, and where all of it stands.

1. A test belongs to a callback, and runs in every environment that holds the callback, unless it names some. An
   environment that takes the callback away takes its tests along.
2. `${var.name}` is settled in every text of a test, as in the callback itself, so that one test fits environments that
   differ in their variables alone.
3. A value that is not settled is a finding of that test; the others run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from reconciler.config.codes import diagnostic
from reconciler.config.load import Loaded
from reconciler.config.place import Document, Plain, Steps
from reconciler.config.settle import OPENING, settle
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.resource import Callback, Key

__all__ = ["CallbackTest", "callback_tests"]


@dataclass(frozen=True, slots=True)
class CallbackTest:
    """One test, as one environment runs it.

    Attributes:
        name: what the files call it; `test 1` for the first of its callback that has no name.
        given: the fields of the message.
        expect: what was written, and nothing else.
        faults: what keeps it from being run.
    """

    callback: Callback
    name: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any]
    faults: tuple[Diagnostic, ...]
    _document: Document
    _steps: Steps

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.place("given", at_key=True)

    def place(self, *steps: str | int, at_key: bool = False) -> Span:
        """The place of a value in it; with `at_key` of its key. What is missing is shown by what it is missing from."""
        way = (*self._steps, *steps)
        return self._document.key_span(way) if at_key else self._document.span(way)


def callback_tests(loaded: Loaded, *, within: Sequence[Path] = ()) -> Iterator[CallbackTest]:
    """The tests of the callbacks that the environment holds, in the order of the files; all of them, or some files'."""
    chosen = [path.resolve() for path in within]
    for declared in loaded.declared.values():
        if chosen and not _is_within(Path(declared.document.source.name), chosen):
            continue
        for name, written in declared.value.get("callbacks", {}).items():
            callback = loaded.callbacks.get(Key(declared.name, name))
            if callback is None:
                continue
            for index, test in enumerate(written.get("tests", ())):
                if _runs_in(loaded.environment, test):
                    steps: Steps = ("callbacks", name, "tests", index)
                    yield _test(callback, test, declared.document, steps, loaded)


def _is_within(file: Path, chosen: Sequence[Path]) -> bool:
    resolved = file.resolve()
    return any(path == resolved or path in resolved.parents for path in chosen)


def _runs_in(environment: str | None, test: Mapping[str, Any]) -> bool:
    wanted = test.get("environments")
    return wanted is None or any(fnmatchcase(environment or "", pattern) for pattern in wanted)


def _test(
    callback: Callback, written: Mapping[str, Any], document: Document, steps: Steps, loaded: Loaded
) -> CallbackTest:
    faults: list[Diagnostic] = []

    def settled(value: Plain, way: Steps) -> Plain:
        match value:
            case str() if OPENING in value:
                done = settle(value, loaded.variables)
                for reference in done.unresolved:
                    span = document.span(way, offset=reference.start, length=reference.end - reference.start)
                    faults.append(_unresolved(reference.name, loaded.environment, span))
                return done.text
            case dict():
                return {name: settled(each, (*way, name)) for name, each in value.items()}
            case list():
                return [settled(each, (*way, index)) for index, each in enumerate(value)]
            case _:
                return value

    given, expect = (
        cast("dict[str, Plain]", settled(written.get(name, {}), (*steps, name))) for name in ("given", "expect")
    )
    return CallbackTest(
        callback=callback,
        name=written.get("name") or f"test {cast('int', steps[-1]) + 1}",
        given=given,
        expect=expect,
        faults=tuple(faults),
        _document=document,
        _steps=steps,
    )


def _unresolved(name: str | None, environment: str | None, span: Span) -> Diagnostic:
    if name is None:
        return diagnostic("bad-variable-reference", "A reference to a variable is ${var.name}.", span=span)
    where = f"in {environment}" if environment else "in a project without environments"
    return diagnostic("undefined-variable", f"{name} has no value {where}.", span=span)
