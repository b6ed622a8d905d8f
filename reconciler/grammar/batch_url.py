"""The URL of a batch, and the pattern of its lines.

A batch is one request for the messages of a second, with a line for each (`callbacks.md` section 4.2). Its URL holds
`{batch}` where the lines go; what a message says stands in the line pattern.

1. `{batch}` stands once, as the whole value of a query pair: `https://host/in?key=1&lines={batch}`. The engine cuts
   the query there and puts the lines between.
2. No other variable, since there is no single message whose value it could have; secrets are fine. In all else it is a
   URL like any other (`url.py`).
3. A line pattern is text, percent-encoded as a whole, `&`, `=` and `%` included: a line is a piece of a query value.
   The name of the pair is all that the receiver has to know.
4. Line feeds come from the engine alone: the pattern holds none, and values lose theirs (`Context.LINE`). What
   separates the fields of a line is the author's choice; a text from a device may hold that character too.
"""

from dataclasses import dataclass
from typing import Final

from reconciler.errors import GrammarError
from reconciler.grammar.escape import NOT_IN_LINE, Context, literal_in_line
from reconciler.grammar.template import Placeholder, Segment, Template, Variable, scan, segments
from reconciler.grammar.url import UrlTemplate, parse_url

__all__ = ["BATCH", "BatchUrl", "parse_batch_url", "parse_line_pattern"]

BATCH: Final = "batch"
"""The variable that stands for the lines."""

_EXAMPLE: Final = "?lines={batch}"


@dataclass(frozen=True, slots=True)
class BatchUrl:
    """A URL that parsed, its query cut where the lines go: a request's target is `path?before LINES after`.

    Attributes:
        host: name in ASCII and lower case, or address; an IPv6 address without its brackets.
        userinfo: `login:password` of Basic credentials, decoded.
        path: at least `/` when rendered.
        before: the query up to and including the `name=` of the lines' pair.
        after: what stands behind the lines, from its ampersand; empty when they come last.
    """

    text: str
    scheme: str
    host: str
    port: int
    userinfo: Template | None
    path: Template
    before: Template
    after: Template

    @property
    def variables(self) -> tuple[Variable, ...]:
        """`{batch}` alone, and where it stands; the templates have none."""
        return (Variable(BATCH, (self.text.index(f"{{{BATCH}}}"),)),)

    @property
    def secrets(self) -> frozenset[str]:
        """The secrets of credentials, path and query."""
        in_userinfo = self.userinfo.secrets if self.userinfo else frozenset()
        return in_userinfo | self.path.secrets | self.before.secrets | self.after.secrets


def parse_batch_url(text: str) -> BatchUrl:
    """The URL of a batch.

    Raises:
        GrammarError: a rule above is broken, or one of `url.py`.
    """
    url = parse_url(text)
    _refuse_other_variables(url)
    places = [offset for variable in url.variables for offset in variable.offsets]
    if not places:
        reason = f"{{{BATCH}}}, which stands for the lines, is missing; it is the value of a query pair: {_EXAMPLE}."
        raise GrammarError("template-batch-missing", text, len(text), reason)
    if len(places) > 1:
        reason = f"{{{BATCH}}} stands here a second time; the lines of a batch are sent once."
        raise _at(url, "template-batch-twice", places[1], reason)
    if url.query is None or not url.query.variables:
        reason = f"The lines of a batch are the value of a query pair, behind the question mark: {_EXAMPLE}."
        raise _at(url, "template-batch-misplaced", places[0], reason)
    at = next(index for index, segment in enumerate(url.query.segments) if isinstance(segment, Placeholder))
    before, after = url.query.segments[:at], url.query.segments[at + 1 :]
    if not _ends_in_name(before) or not _begins_pair(after):
        reason = f"{{{BATCH}}} has to be the whole value of a query pair, with nothing beside it: {_EXAMPLE}."
        raise _at(url, "template-batch-misplaced", places[0], reason)
    query_start = len(text) - len(url.query.text)
    behind = places[0] + len(BATCH) + 2
    return BatchUrl(
        text=text,
        scheme=url.scheme,
        host=url.host,
        port=url.port,
        userinfo=url.userinfo,
        path=url.path,
        before=Template(text[query_start : places[0]], before),
        after=Template(text[behind:], after),
    )


def _refuse_other_variables(url: UrlTemplate) -> None:
    for variable in url.variables:
        if variable.name != BATCH:
            reason = (
                f"A batch is one request for many messages, so that its URL cannot have {{{variable.name}}}; what a "
                "message says stands in the line pattern."
            )
            offset = variable.offsets[0]
            raise GrammarError("template-variable-in-batch-url", url.text, offset, reason, length=variable.length)


def _at(url: UrlTemplate, code: str, offset: int, reason: str) -> GrammarError:
    return GrammarError(code, url.text, offset, reason, length=len(BATCH) + 2)


def _ends_in_name(before: tuple[Segment, ...]) -> bool:
    """Whether what precedes the lines is `name=`; a secret is no part of a name, as in a form body."""
    if not before or not isinstance(before[-1], str):
        return False
    _, ampersand, pair = before[-1].rpartition("&")
    name = pair.removesuffix("=")
    return (bool(ampersand) or len(before) == 1) and name != "" and name != pair and "=" not in name


def _begins_pair(after: tuple[Segment, ...]) -> bool:
    return not after or (isinstance(after[0], str) and after[0].startswith("&"))


def parse_line_pattern(text: str) -> Template:
    """What a message adds to a batch: one line.

    Raises:
        GrammarError: `template-control-character`, or what `scan` raises.
    """
    control = NOT_IN_LINE.search(text)
    if control:
        reason = (
            "A line pattern makes one line, and the lines of a batch are separated by line feeds: it cannot hold line "
            "breaks, tabs or other control characters."
        )
        raise GrammarError("template-control-character", text, control.start(), reason)
    return Template(text, segments(text, scan(text), context=Context.LINE, literal=literal_in_line))
