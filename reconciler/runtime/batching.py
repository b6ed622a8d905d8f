"""Which lines share one request, and what that request is (`callbacks.md` section 4.2). Pure.

1. A batch holds lines of one callback and one revision, in the order in which they came, joined by an encoded line
   feed: the separator that "each line represents a message" suggests, for no page shows one.
2. A target has at most 8,000 bytes, which RFC 9110 section 4.1 recommends that everybody support; no size is published.
   What does not fit makes further batches. A single line is sent alone, however long it is.
3. POST and PUT send the query as a form body too (section 4.1); the limit stays that of the target.
4. A secret is not known here, so that it counts as 256 bytes: longer than most tokens, though not than all.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from reconciler.grammar.template import Rendered, join
from reconciler.model.definition import FORM_CONTENT_TYPE
from reconciler.model.delivery import Batch, BatchLine, HttpRequest, Lease
from reconciler.model.resource import Key, Method

__all__ = ["LONGEST_TARGET", "WINDOW", "batches"]

WINDOW: Final = timedelta(seconds=1)
"""How long the lines of a callback gather."""

LONGEST_TARGET: Final = 8_000
_SECRET_BYTES: Final = 256
_LINE_FEED: Final = "%0A"


def batches(leases: Sequence[Lease]) -> tuple[Batch, ...]:
    """The batches that leased lines make, at least one line in each; in the order of their first lines.

    Raises:
        ValueError: a delivery among them is no line of a batch.
    """
    gathered: dict[tuple[Key, int], list[tuple[Lease, BatchLine]]] = {}
    for lease in leases:
        delivery = lease.delivery
        if not isinstance(delivery.request, BatchLine):
            raise ValueError(f"{delivery.id} is no line of a batch")
        gathered.setdefault((delivery.callback, delivery.revision), []).append((lease, delivery.request))
    return tuple(_batch(each) for group in gathered.values() for each in _that_fit(group))


def _that_fit(group: Sequence[tuple[Lease, BatchLine]]) -> Iterator[Sequence[tuple[Lease, BatchLine]]]:
    first = group[0][1]
    around = _size(first.path) + len("?") + _size(first.before) + _size(first.after)
    start, size = 0, around
    for end, (_, line) in enumerate(group):
        more = _size(line.line) + (len(_LINE_FEED) if end > start else 0)
        if end > start and size + more > LONGEST_TARGET:
            yield group[start:end]
            start, size = end, around
            more = _size(line.line)
        size += more
    yield group[start:]


def _size(rendered: Rendered) -> int:
    """Bytes on the wire; what is percent-encoded is ASCII."""
    if isinstance(rendered, str):
        return len(rendered)
    return sum(len(part) if isinstance(part, str) else _SECRET_BYTES for part in rendered)


def _batch(lines: Sequence[tuple[Lease, BatchLine]]) -> Batch:
    first = lines[0][1]
    query = join(first.before, _joined([line.line for _, line in lines]), first.after)
    with_body = first.method is not Method.GET
    return Batch(
        lines=tuple(lease for lease, _ in lines),
        request=HttpRequest(
            method=first.method,
            scheme=first.scheme,
            host=first.host,
            port=first.port,
            target=join(first.path, "?", query),
            headers=(("Content-Type", FORM_CONTENT_TYPE),) if with_body else (),
            credentials=first.credentials,
            body=query if with_body else None,
            send_sni=first.send_sni,
        ),
        asks=any(lease.delivery.asks for lease, _ in lines),
    )


def _joined(lines: Sequence[Rendered]) -> Rendered:
    texts = [line for line in lines if isinstance(line, str)]
    if len(texts) == len(lines):  # ten times as fast, and only a pattern with a secret goes the other way
        return _LINE_FEED.join(texts)
    pieces = [lines[0]]
    for line in lines[1:]:
        pieces += (_LINE_FEED, line)
    return join(*pieces)
