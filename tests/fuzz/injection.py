"""Values that want to be more than values, through every channel, judged by parsers that are not ours.

    python -m tests.fuzz.injection --cases 1000000 --seed 1

A case renders one request of one callback with hostile values in every variable and every secret, composes the bytes,
and has them read by llhttp (each), h11 (every eighth), urllib, json, email and a mail server's reading of commands.
What they find (request lines, headers, path segments, query and form pairs, JSON members, mail headers, SMTP commands,
log lines) has to be what they find with harmless values. The first case that breaks that ends the run and is told by
its number: `--seed` and `--only NUMBER` repeat it.

Kinds of cases, in turn: callbacks of every type and channel; requests that got past every check, as from a store;
answers of receivers, and of mail servers, in logs and outcomes.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default as MODERN
from functools import cache
from itertools import islice
from math import inf, nan
from typing import Any, Final, cast
from unicodedata import category
from urllib.parse import parse_qsl, unquote

import h11
import httptools
from aiosmtplib.protocol import SMTPProtocol

from reconciler.cli.log_lines import LogLines
from reconciler.codec.delivery import dump_outcome, dump_request, load_outcome, load_request
from reconciler.grammar.escape import Context, Json
from reconciler.grammar.payload import PayloadConfig, Value
from reconciler.grammar.template import Secret
from reconciler.model.definition import Content, check_callback
from reconciler.model.delivery import BatchLine, Delivery, DeliveryId, HttpRequest, Lease, Mail, Outcome, Unreachable
from reconciler.model.resource import CallbackType, Key, Method
from reconciler.model.variables import Form, offered, takes_payload
from reconciler.runtime.batching import batches
from reconciler.runtime.channels import mail_wire, wire
from reconciler.runtime.channels.connection import Connection
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.mail_settings import MailSettings, Security
from reconciler.runtime.channels.smtp import NotTaken, Talk
from reconciler.runtime.channels.tls import Tls
from reconciler.runtime.rendering import request_builders
from tests.fakes import AtOnce

__all__ = ["Broken", "run"]

AT = datetime(2026, 1, 1, tzinfo=UTC)
ID = DeliveryId("0" * 32, 0)
SENDER = "engine@example.com"
PAYLOAD = "word::char:8 number::uint:16 flag::bool:7"
FIELDS: Final = PayloadConfig.parse(PAYLOAD)
HOST = "receiver.example"


class Broken(AssertionError):
    """Something left its place."""


# Hostile values

FRAGMENTS: Final[Sequence[str]] = (
    "\r\n", "\n", "\r", "\0", "\t", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff",
    "\u560a\u560d",
    "\ud800", "\udfff", "\U0010ffff", "%0d%0a", "%0D%0AX-Admin: yes", "%00", "%", "%2", "%zz", "%252e%252e%252f",
    "+", " ",
    "&admin=1", ";admin=1", "&", "=", "#", "?", "/", "//", "\\", "/../", "..", ".", "../../etc", "..;/",
    "@evil.example",
    ":", "://evil.example/", "http://evil.example/", '"', "'", '\\"', '","admin":true,"x":"', '"}', "}{", "]",
    "[1]", "\\u0022",
    "{device}", "{customData#word}", "${secret.A}", "${", "{", "}", "<script>", "<!--",
    "=?utf-8?q?=0ABcc:eve@example.com?=",
    "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=", "\r\nX-Admin: yes", "\nX-Admin: yes", "\rX-Admin: yes",
    "\r\n X-Folded",
    " HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /admin", "\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    "0\r\n\r\n",
    "\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", "\r\n.\r\n", "\n.\n", "\r.\r",
    "\n.\r\n", "\r\n.\n",
    "\r\n.\r\nMAIL FROM:<eve@example.com>\r\n", "\r\nRCPT TO:<eve@example.com>", "\r\nBcc: eve@example.com",
    "From ", ".",
    "\r\n\r\n<html>", "--boundary", "2026-01-01T00:00:00Z ERROR forged", " level=ERROR", ' a="b" ', "\\n", "ü",
    "日本", "a", "7",
)  # fmt: skip
NUMBERS: Final[Sequence[Value]] = (
    None, True, False, 0, -1, 2**63, -(2**70), 10**400, 1e22, -1e-7, 0.1, nan, inf, -inf, 5e-324,
    1.7976931348623157e308,
)  # fmt: skip
ALPHABETS: Final = (
    "".join(map(chr, range(256))),
    "".join(map(chr, range(33, 127))),
    "".join(map(chr, range(0x2000, 0x2100))),
)


def hostile(dice: random.Random) -> str:
    """A text made of what breaks things."""
    kind = dice.random()
    if kind < 0.7:
        return "".join(dice.choices(FRAGMENTS, k=dice.randint(1, 4)))
    if kind < 0.95:
        return "".join(dice.choices(dice.choice(ALPHABETS), k=dice.randint(0, 12)))
    return "".join(chr(dice.randrange(0x110000)) for _ in range(dice.randint(1, 4)))


def hostile_value(dice: random.Random, form: Form | None) -> Value:
    if form is Form.JSON:
        return Json(json.dumps([{hostile(dice): hostile(dice)}], ensure_ascii=dice.random() < 0.5))
    return dice.choice(NUMBERS) if dice.random() < 0.15 else hostile(dice)


def hostile_bytes(dice: random.Random) -> bytes:
    return (
        hostile(dice).encode("utf-8", "surrogatepass") if dice.random() < 0.7 else dice.randbytes(dice.randint(0, 16))
    )


# Callbacks


@dataclass(frozen=True, slots=True)
class Sender:
    """A compiled callback: what it makes of values, and what parsers find in it when these are harmless."""

    name: str
    build: Callable[[Mapping[str, Value], DeliveryId], Any]
    variables: Mapping[str, Form | None]
    content: Content


def contents(type: CallbackType, used: Sequence[str]) -> Iterator[tuple[str, Content]]:
    """A callback of each channel, method and kind of body, with these variables in every place."""
    payload: Content = {"payload": PAYLOAD} if takes_payload(type) else {}
    base: Content = {"type": type.value, **payload}
    query = "&".join([*(f"q{n}={{{name}}}" for n, name in enumerate(used)), "k=a${secret.Q}b"])
    path = "/".join(["", *(f"p-{{{name}}}" for name in used), *(f"{{{name}}}" for name in used), "${secret.P}"])
    headers = {**{f"X-H{n}": f"{{{name}}}" for n, name in enumerate(used)}, "Authorization": "Bearer ${secret.H}"}
    url: Content = {**base, "channel": "url", "url": f"https://{HOST}{path}?{query}", "headers": headers}
    members = [f'"s{n}": "a {{{name}}} b", "v{n}": {{{name}}}' for n, name in enumerate(used)]
    body = "{" + ", ".join([*members, '"k": "${secret.J}"', '"n": ${secret.V}', '"l": [1, {"x": 2}]']) + "}"
    form = "&".join([*(f"f{n}={{{name}}}" for n, name in enumerate(used)), "k=${secret.F}"])
    text = "\n".join([*(f"{{{name}}}" for name in used), "${secret.T}"])
    yield "get", {**url, "method": "GET"}
    yield "login", {**base, "channel": "url", "url": f"https://${{secret.L}}:${{secret.W}}@{HOST}{path}?{query}"}
    for method in ("POST", "PUT"):
        yield f"json {method}", {**url, "method": method, "contentType": "application/json", "body": body}
        yield f"form {method}", {**url, "method": method, "body": form}
        yield f"text {method}", {**url, "method": method, "contentType": "text/plain", "body": text}
    line = ";".join([*(f"{{{name}}}" for name in used), "${secret.B}"])
    lines = f"https://{HOST}/in?a=1&lines={{batch}}&z=${{secret.Q}}"
    for method in ("GET", "POST"):
        yield f"batch {method}", {**base, "channel": "batch-url", "method": method, "url": lines, "linePattern": line}
    subject = " ".join(f"{{{name}}}" for name in used) + " ${secret.S}"
    mail: Content = {**base, "channel": "email", "recipient": "ada@example.com, bob@example.com"}
    yield "mail", {**mail, "subject": subject, "message": text}


@cache
def senders() -> Sequence[Sender]:
    """One for each type, channel, method and kind of body; the variables of a type in turn."""
    found: list[Sender] = []
    for type in CallbackType:
        forms: dict[str, Form | None] = {name: variable.form for name, variable in offered(type).items()}
        if takes_payload(type):
            forms |= dict.fromkeys((f"customData#{name}" for name in FIELDS.names), None)
        names = list(forms)
        for turn, (name, content) in enumerate(contents(type, ())):
            used = [names[(turn * 3 + step) % len(names)] for step in range(3)]
            content = dict(contents(type, used))[name]
            callback, findings = check_callback(Key("t", "c"), content)
            assert callback is not None, findings
            for build in request_builders(callback.channel):
                found.append(Sender(f"{type} {name}", build, {each: forms[each] for each in used}, content))
    return found


# What independent parsers find


class _Llhttp:
    """What llhttp finds in the bytes of a request."""

    def __init__(self, message: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.begun = self.ended = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(message)
        self.method = parser.get_method()

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


def _by_h11(message: bytes) -> tuple[bytes, bytes, list[bytes], bytes]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(message)
    request = connection.next_event()
    assert isinstance(request, h11.Request), request
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert connection.trailing_data == (b"", False), "something follows the request"
    return request.method, request.target, [name for name, _ in request.headers], body


def _members(value: Any) -> Any:
    """The shape of JSON: names and lengths. What `v…` holds is the value's own."""
    match value:
        case list() if value and isinstance(value[0], tuple):
            return [(name, "·" if name[0] == "v" else _members(member)) for name, member in value]
        case list():
            return [_members(item) for item in value]
        case _:
            return "·"


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def http_shape(message: bytes, *, lines: int = 0, strict: bool = False) -> object:
    """What is in an HTTP request but for its values."""
    found = _Llhttp(message)
    head, _, body = message.partition(b"\r\n\r\n")
    text = head.decode()
    if (found.begun, found.ended) != (1, 1) or found.body != body:
        raise Broken("it is not one request")
    if len(text.splitlines()) != text.count("\r\n") + 1 or len(found.headers) != text.count("\r\n"):
        raise Broken("a line of the head is more than one for somebody")
    if strict and _by_h11(message) != (found.method, found.target, [name.lower() for name, _ in found.headers], body):
        raise Broken("h11 and llhttp read two different requests")
    length = [int(value) for name, value in found.headers if name == b"Content-Length"]
    if length not in ([], [len(body)]):
        raise Broken("the length is another one")
    path, mark, query = found.target.decode("ascii").partition("?")
    segments = path.split("/")
    if any(each in {".", ".."} for each in map(unquote, segments)) or "\\" in path or "#" in found.target.decode():
        raise Broken("the path leads elsewhere")
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    if re.split("[&;]", query) != query.split("&"):
        raise Broken("old readers split pairs at semicolons")
    sent = _lines(pairs) if lines else 0
    kind = dict(found.headers).get(b"Content-Type", b"")
    shape: object = len(body) > 0
    if kind == b"application/json":
        shape = _members(json.loads(body, object_pairs_hook=list, parse_constant=_no_constant))
    elif kind == b"application/x-www-form-urlencoded":
        form = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        shape = [name for name, _ in form]
        if lines and _lines(form) != sent:
            raise Broken("the body holds other lines")
    names = [name for name, _ in found.headers]
    host = [value for name, value in found.headers if name.lower() == b"host"]
    return found.method, len(segments), mark, [name for name, _ in pairs], sent, names, host, shape


def _lines(pairs: Sequence[tuple[str, str]]) -> int:
    """The number of lines in a batch, which all readers have to agree on."""
    batch = dict(pairs)["lines"]
    if len(batch.splitlines()) != batch.count("\n") + 1:
        raise Broken("a line of the batch is more than one for somebody")
    return batch.count("\n") + 1


class MailServer(asyncio.Transport):
    """Reads commands as a server does, and takes everything; a lax one ends mails where a strict one would not."""

    def __init__(self, *, lax: bool, answers: Mapping[bytes, bytes]) -> None:
        super().__init__()
        self.commands: list[bytes] = []
        self.letter = b""
        self._lax = lax
        self._answers = answers
        self._input = b""
        self._in_data = False
        self._protocol: SMTPProtocol | None = None

    def attach(self, protocol: SMTPProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)
        self._say(self._answers.get(b"CONNECT", b"220 hello"))

    def _say(self, answer: bytes) -> None:
        assert self._protocol is not None
        asyncio.get_running_loop().call_soon(self._protocol.data_received, answer + b"\r\n")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._input += data
        while True:
            if self._in_data:
                ends = rb"(?:\r\n|\r|\n|\A)\.(?:\r\n|\n|\r)" if self._lax else rb"(?:\r\n|\A)\.\r\n"
                end = re.search(ends, self._input)
                if end is None:
                    return
                self.letter, self._input, self._in_data = self._input[: end.start()], self._input[end.end() :], False
                self._say(self._answers.get(b"END", b"250 taken"))
                continue
            line, found, rest = self._input.partition(b"\r\n")
            if not found:
                return
            self._input = rest
            self.commands.append(line)
            word = line.split(b" ")[0]
            self._in_data = word == b"DATA"
            self._say(self._answers.get(word, b"354 go on" if self._in_data else b"250 fine"))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "sockname" else default

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


SETTINGS = MailSettings("mail.example", 25, Security.OFFERED, SENDER)


@cache
def _tls() -> Any:
    return Tls(alpn=()).context(send_sni=True)


async def handed_over(letter: bytes, recipient: str, server: MailServer) -> str | Unreachable:
    loop = asyncio.get_running_loop()
    protocol = SMTPProtocol(loop)
    server.attach(protocol)
    talk = Talk(protocol, SETTINGS, tls=_tls(), flight=Flight(loop.time() + 10), redact=lambda answer: answer)
    try:
        return await talk.hand_over(letter, recipient=recipient)
    except NotTaken as error:
        return error.outcome


async def mail_shape(letter: bytes, recipient: str, *, lax: bool) -> object:
    """What is in a mail but for its values, and what was said to send it."""
    server = MailServer(lax=lax, answers={})
    answer = await handed_over(letter, recipient, server)
    if not isinstance(answer, str):
        raise Broken(f"the server understood something else: {answer}")
    head, _, content = letter.partition(b"\r\n\r\n")
    for part in (head, content):
        if part.count(b"\r\n") != part.count(b"\n") or part.count(b"\r\n") != part.count(b"\r"):
            raise Broken("a line ends in another way")
    received = re.sub(rb"(?m)^\.\.", b".", server.letter + b"\r\n")
    if received != letter:
        raise Broken("another mail arrived")
    if not letter.isascii() or max(map(len, letter.split(b"\r\n"))) > 998:
        raise Broken("it does not go through every server")
    mail = message_from_bytes(letter, policy=MODERN)
    subject = str(mail["Subject"])
    if len(subject.splitlines()) > 1 or mail.is_multipart() or mail.defects:
        raise Broken("the mail is not what it was")
    return mail.keys(), str(mail["To"]), str(mail["From"]), mail.get_content_type(), server.commands


def log_fields(level: int, event: str, fields: Mapping[str, object]) -> Sequence[str]:
    """The names that stand in the line of a log, as somebody reads it who knows its form."""
    record = logging.makeLogRecord(
        {"name": "reconciler", "levelno": level, "levelname": "INFO", "msg": event, **fields}
    )
    line = LogLines().format(record)
    if len(line.splitlines()) != 1:
        raise Broken("more than one line of the log")
    words = re.fullmatch(r'\S+ INFO \S+((?: \w+=(?:"(?:\\.|[^"\\])*"|[^ "=]+))*)', line)
    if words is None or any(category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in line):
        raise Broken(f"a line of the log has another form: {line!r}")
    return re.findall(r'(?:^| )(\w+)=(?:"(?:\\.|[^"\\])*"|[^ "=]+)', words[1])


# Cases


def _filling(dice: random.Random | None) -> wire.Filling:
    return wire.Filling((lambda name: "harmless") if dice is None else (lambda name: hostile(dice)))


def _composed(request: HttpRequest, dice: random.Random | None) -> bytes:
    endpoint = wire.Endpoint(request.scheme, request.host, request.port, request.send_sni)
    fixed = wire.fixed_lines(endpoint, "fuzz")
    assert isinstance(fixed, str), fixed
    message = wire.compose(request, fixed=fixed, secret=_filling(dice))
    if isinstance(message, Unreachable):
        raise Broken(f"it was not sent: {message}")
    return message


def _lease(number: int, line: BatchLine) -> Lease:
    delivery = Delivery(DeliveryId("0" * 32, number), Key("t", "c"), 1, line.endpoint, line, (), AT)
    return Lease(delivery, 1, AT)


def _values(sender: Sender, dice: random.Random) -> Mapping[str, Value]:
    values = {name: hostile_value(dice, form) for name, form in sender.variables.items()}
    if dice.random() < 0.3:  # what devices can really bring about: bytes, read by the payload config
        values |= {
            f"customData#{name}": value for name, value in FIELDS.decode(hostile_bytes(dice)[:12]).values.items()
        }
    return values


def _harmless(sender: Sender) -> Mapping[str, Value]:
    return {name: Json("[]") if form is Form.JSON else "7" for name, form in sender.variables.items()}


async def _shape(
    sender: Sender, values: Sequence[Mapping[str, Value]], dice: random.Random | None, *, lax: bool
) -> object:
    requests = [load_request(dump_request(sender.build(each, ID))) for each in values]
    match requests[0]:
        case HttpRequest() as request:
            return http_shape(_composed(request, dice), strict=lax)
        case BatchLine():
            lines = [_lease(number, line) for number, line in enumerate(cast("list[BatchLine]", requests))]
            shapes = [
                http_shape(_composed(batch.request, dice), lines=len(batch.lines), strict=lax)
                for batch in batches(lines)
            ]
            return shapes[0] if len(shapes) == 1 else shapes
        case Mail() as mail:
            letter = mail_wire.compose(mail, sender=SENDER, sent_at=AT, secret=_filling(dice))
            if isinstance(letter, Unreachable):
                raise Broken(f"it was not sent: {letter}")
            return await mail_shape(letter, mail.recipient, lax=lax)


_EXPECTED: Final[dict[tuple[int, int], object]] = {}


async def _callback(dice: random.Random, number: int) -> str:
    at = dice.randrange(len(senders()))
    sender = senders()[at]
    count = dice.randint(1, 3) if "batch" in sender.name else 1
    if (at, count) not in _EXPECTED:
        _EXPECTED[at, count] = await _shape(sender, [_harmless(sender)] * count, None, lax=False)
    found = await _shape(sender, [_values(sender, dice) for _ in range(count)], dice, lax=number % 8 == 0)
    if found != _EXPECTED[at, count]:
        raise Broken(f"{sender.name}\n{found}\n{_EXPECTED[at, count]}")
    return sender.name.partition(" ")[2]


async def _unchecked_request(dice: random.Random, number: int) -> str:
    """Parts that nobody escaped: they are sent as what they are, or not at all."""

    def part(text: str) -> str:
        return hostile(dice) if dice.random() < 0.3 else text

    headers = [(part("X-One"), part("1")), (part("X-Two"), part("2"))]
    request = HttpRequest(
        method=Method.POST,
        scheme="https",
        host=part(HOST),
        port=443,
        target=part("/a?b=c") if dice.random() < 0.5 else ("/", Secret("P", dice.choice(list(Context)))),
        headers=tuple(headers),
        credentials=(Secret("L", Context.TEXT), ":", Secret("W", Context.TEXT)) if dice.random() < 0.2 else None,
        body=part("{}"),
        send_sni=False,
    )
    endpoint = wire.Endpoint(request.scheme, request.host, request.port, request.send_sni)
    fixed = wire.fixed_lines(endpoint, "fuzz")
    message = fixed if isinstance(fixed, Unreachable) else wire.compose(request, fixed=fixed, secret=_filling(dice))
    if isinstance(message, Unreachable):
        log_fields(logging.INFO, "delivery.attempted", {"cause": message.reason, "detail": message.detail})
        return "unchecked, not sent"
    found = _Llhttp(message)
    own = [b"Host", b"User-Agent", b"Accept", *(name.encode() for name, _ in headers)]
    own += [b"Authorization"] if request.credentials is not None else []
    names = [name for name, _ in found.headers]
    if names != [*own, b"Content-Length"] or (found.begun, found.ended) != (1, 1):
        raise Broken(f"unchecked: {names}")
    return "unchecked, sent"


async def _unchecked_mail(dice: random.Random, number: int) -> str:
    recipient = hostile(dice) if dice.random() < 0.5 else "ada@example.com" + hostile(dice)
    mail = Mail(
        id=hostile(dice), recipient=recipient, recipients=(recipient,), subject=hostile(dice), text=hostile(dice)
    )
    letter = mail_wire.compose(mail, sender=SENDER, sent_at=AT, secret=_filling(dice))
    if isinstance(letter, Unreachable):
        if len(letter.detail.splitlines()) != 1:
            raise Broken("a detail is more than one line")
        return "mail, not sent"
    keys, _, _, _, commands = cast("Any", await mail_shape(letter, recipient, lax=number % 2 == 0))
    if len(keys) != 9 or [command.split(b" ")[0] for command in commands] != [b"EHLO", b"MAIL", b"RCPT", b"DATA"]:
        raise Broken(f"mail: {keys} {commands}")
    return "mail, sent"


class _Wire(asyncio.Transport):
    """What a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass


class _Home:
    def __getattr__(self, name: str) -> Callable[[object], None]:
        return lambda connection: None


_STARTS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 500 ",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\n",
    b"HTTP/1.",
    b"",
)
_REST = (
    b"Content-Length: 4\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n4\r\n",
    b"\r\n",
    b"Connection: close\r\n\r\n",
    b"",
)


def _check_outcome(outcome: Outcome) -> None:
    fields: dict[str, object] = {"outcome": outcome.kind, "device": "1", "detail": getattr(outcome, "detail", "")}
    fields["body"] = getattr(outcome, "body", b"").decode(errors="surrogateescape")
    if log_fields(logging.INFO, "delivery.attempted", fields) != list(fields):
        raise Broken("other fields in the line of the log")
    if load_outcome(dump_outcome(outcome)) != outcome:
        raise Broken("the store keeps another outcome")
    if isinstance(outcome, Unreachable) and len(outcome.detail.splitlines()) != 1:
        raise Broken("a detail is more than one line")


async def _answer(dice: random.Random, number: int) -> str:
    """Whatever a receiver answers: the connection says what it was told to, and what is kept is one thing."""
    connection = Connection(asyncio.get_running_loop(), home=cast("Any", _Home()), max_body=1_000, turn=AtOnce())
    transport = _Wire()
    connection.connection_made(transport)
    answered = connection.send(b"request", deadline=inf)
    data = dice.choice(_STARTS) + hostile_bytes(dice) + dice.choice(_REST) + hostile_bytes(dice) * dice.randint(0, 3)
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        if connection.usable:
            connection.data_received(piece)
    reused = connection.usable and answered.done()
    connection.connection_lost(None)
    outcome = answered.result()
    if transport.written != b"request" or outcome is None:
        raise Broken("something else was written")
    if reused and not (data.startswith(b"HTTP/1.") and b"\r\n\r\n" in data):
        raise Broken("it would be used again")
    _check_outcome(outcome)
    return "answer"


async def _mail_answer(dice: random.Random, number: int) -> str:
    stage = dice.choice((b"CONNECT", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"END"))
    answer = dice.choice((b"250 ", b"250-", b"550 ", b"421-4.7.0 ", b"354 ", b"")) + hostile_bytes(dice)
    server = MailServer(lax=False, answers={stage: answer + b"\r\n550 done"})
    said = await handed_over(b"Subject: x\r\n\r\nx\r\n", "ada@example.com", server)
    words = [command.split(b" ")[0] for command in server.commands]
    if words not in [[b"EHLO", b"HELO", b"MAIL", b"RCPT", b"DATA"][:n] for n in range(6)] and words not in [
        [b"EHLO", b"MAIL", b"RCPT", b"DATA"][:n] for n in range(5)
    ]:
        raise Broken(f"other commands: {server.commands}")
    _check_outcome(said if isinstance(said, Unreachable) else Unreachable("said", said))
    return "mail answer"


async def _log_line(dice: random.Random, number: int) -> str:
    fields: dict[str, object] = {
        name: hostile_value(dice, None) for name in ("device", "callback", "error", "endpoint")
    }
    if log_fields(logging.INFO, "store.failed", fields) != list(fields):
        raise Broken("other fields in the line of the log")
    return "log line"


_KINDS: Final = (_callback,) * 12 + (_unchecked_request, _unchecked_mail, _answer, _mail_answer, _log_line)


async def _case(seed: int, number: int) -> str:
    dice = random.Random(f"{seed}.{number}")
    try:
        return await _KINDS[number % len(_KINDS)](dice, number)
    except (AssertionError, ValueError, httptools.HttpParserError, h11.RemoteProtocolError) as error:
        raise Broken(f"case {number} of seed {seed}: {error!r}") from error


async def _all(numbers: Iterator[int], seed: int, tell: Callable[[int], None]) -> Counter[str]:
    done: Counter[str] = Counter()
    for number in numbers:
        done[await _case(seed, number)] += 1
        if number % 50_000 == 49_999:
            tell(number + 1)
    return done


def run(
    *, seed: int, cases: int, first: int = 0, tell: Callable[[int], None] = lambda number: None
) -> Mapping[str, int]:
    """How many cases of each kind were run; `Broken` at the first that is."""
    numbers = islice(iter(range(first, first + cases)), cases)
    return asyncio.run(_all(numbers, seed, tell))


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(
        prog="python -m tests.fuzz.injection", description="Hostile values, every channel."
    )
    options.add_argument("--cases", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int, help="this case alone")
    given = options.parse_args(arguments)
    begun = time.perf_counter()
    first, cases = (0, given.cases) if given.only is None else (given.only, 1)
    done = run(seed=given.seed, cases=cases, first=first, tell=lambda number: print(f"{number:,}", flush=True))
    for name, count in sorted(done.items()):
        print(f"{count:>10,}  {name}")
    took = timedelta(seconds=round(time.perf_counter() - begun))
    print(f"{sum(done.values()):>10,}  cases, none left its place; seed {given.seed}, {took}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
