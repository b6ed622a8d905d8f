"""What arrives at the far ends of an example, as text: the form of every `examples/*/received.md`.

A page has a section for each moment ("At once", "After 25 seconds") and in it a part for each thing that arrived: a
request (`http`), a mail (`mail`), or what the network side was handed for a device (`json`).

1. Of a request, everything is shown but the headers that every HTTP client sends. A body ends where its block ends; one
   that ends with a line feed leaves an empty line there.
2. Of a mail, the envelope is shown, the headers that a person reads, and the text as it was meant: decoded, its lines
   ended by a line feed, the last one as well.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

__all__ = ["Arrival", "arrivals_within", "as_page", "downlink_text", "mail_text", "request_text"]

_LEFT_OUT = {"host", "user-agent", "accept", "content-length"}
_MAIL_HEADERS = ("From", "To", "Subject", "Message-ID")
_BY_THE_CLOCK = {"askedAt", "notAfter"}
_UNITS = {"second": 1, "minute": 60, "hour": 3_600}

_INTRODUCTION = """\
# What arrives

What `messages.ndjson` leads to, moment by moment: the tests compare every letter of it, and write this page with
`python -m pytest tests/journeys/test_examples.py --update-cases`. The headers that every HTTP client sends (Host,
User-Agent, Accept, Content-Length) are left out.
"""
_MOMENT = re.compile(r"^## (?:At once|After (?P<count>[0-9]+) (?P<unit>second|minute|hour)s?)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<kind>[a-z]+)\n(?P<text>.*?)\n```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that arrived, `after` the messages were sent; `title` says what it came from."""

    after: timedelta
    title: str
    kind: str
    text: str


def as_page(arrivals: Iterable[Arrival]) -> str:
    """The page, in the order given; `after` never falls."""
    page, moment = _INTRODUCTION, ""
    for arrival in arrivals:
        if (now := _moment(arrival.after)) != moment:
            page, moment = f"{page}\n## {now}\n", now
        page += f"\n### {arrival.title}\n\n```{arrival.kind}\n{arrival.text}\n```\n"
    return page


def arrivals_within(page: str, limit: timedelta) -> list[tuple[str, str]]:
    """Kind and text of all that a page promises until then, sorted."""
    found: list[tuple[str, str]] = []
    moments = [*_MOMENT.finditer(page)]
    ends = [moment.start() for moment in moments[1:]] + [len(page)]
    for moment, end in zip(moments, ends, strict=True):
        seconds = int(moment["count"]) * _UNITS[moment["unit"]] if moment["count"] else 0
        if seconds <= limit.total_seconds():
            found += ((block["kind"], block["text"]) for block in _BLOCK.finditer(page, moment.end(), end))
    return sorted(found)


def request_text(method: str, target: str, headers: Iterable[tuple[str, str]], body: str) -> str:
    """A request: its line, its headers, its body."""
    lines = [f"{method} {target}", *(f"{name}: {value}" for name, value in headers if name.lower() not in _LEFT_OUT)]
    return "\n".join([*lines, *(["", body] if body else [])])


def mail_text(sender: str, recipients: Sequence[str], content: bytes) -> str:
    """A mail: its envelope, its headers, its text."""
    message = message_from_bytes(content, policy=SMTP)
    assert isinstance(message, EmailMessage)
    envelope = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)]
    headers = [f"{name}: {message[name]}" for name in _MAIL_HEADERS]
    text = message.get_content().replace("\r\n", "\n").removesuffix("\n")
    return "\n".join([*envelope, *headers, "", text])


def downlink_text(fields: Mapping[str, object]) -> str:
    """What the network side is handed for one device, but for what the engine's clock says."""
    return json.dumps({name: given for name, given in fields.items() if name not in _BY_THE_CLOCK}, indent=2)


def _moment(after: timedelta) -> str:
    seconds = round(after.total_seconds())
    if seconds == 0:
        return "At once"
    unit = next(unit for unit in ("hour", "minute", "second") if seconds % _UNITS[unit] == 0)
    count = seconds // _UNITS[unit]
    return f"After {count} {unit}{'' if count == 1 else 's'}"
