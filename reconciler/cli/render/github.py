"""The workflow commands by which GitHub shows a sentence at a line of a pull request.

1. Everything that could end a part of the command, or start another one, is escaped as GitHub's own toolkit does; other
   control characters become visible, since the commands stand in a log too.
2. GitHub shows ten annotations of each level for a step and fifty for a run, the first ones: what matters comes first.
"""

from typing import Literal, TypeAlias

from reconciler.cli.render.text import visible
from reconciler.diagnostics import Span

__all__ = ["Level", "annotation"]

Level: TypeAlias = Literal["error", "warning", "notice"]


def annotation(level: Level | str, message: str, *, title: str, span: Span | None, file: str = "") -> str:
    """One command, without its line break; `file` is for a place without a line."""
    properties = []
    if span is not None:
        properties += [f"file={_property(span.file)}", f"line={span.line}"]
        properties += [f"col={span.column}", f"endColumn={span.end_column}"]
    elif file:
        properties.append(f"file={_property(file)}")
    properties.append(f"title={_property(title)}")
    return f"::{level} {','.join(properties)}::{_message(message)}"


def _message(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
