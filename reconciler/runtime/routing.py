"""A compiled revision: which callbacks a message fires, and the exact requests they make. Pure.

1. A message fires the enabled callbacks of its device type whose callback type fits the event (`callbacks.md`
   section 1), in the order of their names. A payload is decoded once for each payload config.
2. Variables have the text forms of `callbacks.md` section 2: two decimals for radio levels, whole degrees for the
   position of a station, `null` for what the network did not give.
3. A form body gets the rendered query of the URL in front of it; an empty one equals the query (section 4.1).
4. A field that does not fit the payload is `null`, and the delivery carries a warning (section 3.3).
5. The router of a new revision takes over the compiled callbacks of the old one where the digest is the same, so that
   a small change of a large revision compiles only what changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from reconciler.errors import StoreError
from reconciler.grammar.escape import Json
from reconciler.grammar.payload import Decoded, PayloadConfig, Value
from reconciler.grammar.template import CUSTOM_DATA, Rendered, Template, join
from reconciler.model.definition import Definition, check_callback
from reconciler.model.delivery import Delivery, DeliveryId, HttpRequest
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import Callback, CallbackType, Channel, Key, Method, UrlChannel
from reconciler.model.revision import Revision
from reconciler.model.value import value
from reconciler.model.variables import Form, offered

__all__ = ["FIRES", "Explanation", "Match", "Route", "Router", "render_request"]

FIRES: Mapping[MessageType, frozenset[CallbackType]] = {
    MessageType.DATA: frozenset({CallbackType.DATA_UPLINK}),
    MessageType.STATUS: frozenset({CallbackType.SERVICE_STATUS}),
    MessageType.GEOLOC: frozenset({CallbackType.SERVICE_GEOLOC}),
    MessageType.ACKNOWLEDGE: frozenset({CallbackType.SERVICE_ACKNOWLEDGE}),
    MessageType.REPEATER: frozenset({CallbackType.SERVICE_REPEATER}),
    MessageType.DATA_ADVANCED: frozenset({CallbackType.SERVICE_DATA_ADVANCED}),
}
"""Which callback types an event fires. BIDIR joins DATA when the engine carries answers back to devices."""


@value
class Route:
    """The deliveries that a message gives, due at once."""

    deliveries: tuple[Delivery, ...]
    device_type_known: bool


@dataclass(frozen=True, slots=True)
class Match:
    """What a message and one callback have to do with each other; `decoded` is None without payload config or match."""

    callback: Key
    matched: bool
    reason: str
    decoded: Decoded | None
    delivery: DeliveryId | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every callback of the message's device type, and why it fired or not."""

    revision: int
    device_type_known: bool
    matches: tuple[Match, ...]


Values = Mapping[str, Value]
RequestBuilder = Callable[[Values], HttpRequest]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A callback ready to fire; `uses` are its variables."""

    digest: str
    callback: Callback
    endpoint: str
    build: RequestBuilder
    uses: frozenset[str]


class _Firing(NamedTuple):
    """The callbacks that an event fires, and the variables that any of them uses."""

    callbacks: tuple[_Compiled, ...]
    uses: frozenset[str]


_NOTHING = Route((), device_type_known=True)
_UNKNOWN = Route((), device_type_known=False)


class Router:
    """One revision, compiled. Immutable: a new revision makes a new router."""

    __slots__ = ("_by_event", "_compiled", "revision")

    def __init__(self, revision: int, compiled: Mapping[str, Sequence[_Compiled]]) -> None:
        self.revision = revision
        self._compiled = compiled
        self._by_event = {
            (device_type, event): _Firing(firing, frozenset().union(*(c.uses for c in firing)))
            for device_type, callbacks in compiled.items()
            for event, types in FIRES.items()
            if (firing := tuple(c for c in callbacks if c.callback.enabled and c.callback.type in types))
        }

    @classmethod
    def compile(cls, revision: Revision, *, known: "Router | None" = None) -> "Router":
        """Compile all callbacks; takes those of `known` whose definition is the same.

        Raises:
            StoreError: a definition breaks the rules; publishing refuses those, so the store was changed behind us.
        """
        old = {} if known is None else {c.callback.key: c for each in known._compiled.values() for c in each}
        compiled: dict[str, list[_Compiled]] = {}
        for key in sorted(revision.owned):
            callbacks = compiled.setdefault(key.device_type, [])
            if key.callback:
                definition = revision.owned[key].definition
                same = old.get(key)
                callbacks.append(
                    same if same is not None and same.digest == definition.digest else _compile(definition)
                )
        return cls(revision.number, compiled)

    def route(self, message: Message, *, now: datetime) -> Route:
        """The deliveries of a message under this revision; none when its device type is unknown."""
        firing = self._by_event.get((message.device_type, message.type))
        if firing is None:
            return _NOTHING if message.device_type in self._compiled else _UNKNOWN
        values = variables_of(message, used=firing.uses)
        decoded: dict[str, Decoded] = {}
        deliveries = []
        for ordinal, compiled in enumerate(firing.callbacks):
            callback = compiled.callback
            config = callback.payload
            own: Values = values
            warnings: tuple[str, ...] = ()
            if config is not None:
                fields = decoded.get(config.text)
                if fields is None:
                    fields = decoded[config.text] = config.decode(message.data)
                own = with_custom_data(values, fields)
                if fields.missing:
                    warnings = _missing_fields(config, fields, message)
            deliveries.append(
                Delivery(
                    id=DeliveryId(message.id, ordinal),
                    callback=callback.key,
                    revision=self.revision,
                    endpoint=compiled.endpoint,
                    request=compiled.build(own),
                    warnings=warnings,
                    due_at=now,
                )
            )
        return Route(tuple(deliveries), device_type_known=True)

    def explain(self, message: Message) -> Explanation:
        """Why each callback of the device type fires for this message, or does not."""
        callbacks = self._compiled.get(message.device_type)
        if callbacks is None:
            return Explanation(self.revision, device_type_known=False, matches=())
        matches = []
        ordinal = 0
        for compiled in callbacks:
            callback = compiled.callback
            if callback.type not in FIRES[message.type]:
                reason = f"It fires on {callback.type}, and this is a message of type {message.type}."
                matches.append(Match(callback.key, False, reason, None, None))
            elif not callback.enabled:
                reason = f"It was disabled in revision {self.revision}."
                matches.append(Match(callback.key, False, reason, None, None))
            else:
                decoded = None if callback.payload is None else callback.payload.decode(message.data)
                reason = f"It fires on {callback.type}, was enabled, and belongs to the device type."
                matches.append(Match(callback.key, True, reason, decoded, DeliveryId(message.id, ordinal)))
                ordinal += 1
        return Explanation(self.revision, device_type_known=True, matches=tuple(matches))


def variables_of(message: Message, *, used: frozenset[str] | None = None) -> dict[str, Value]:
    """The variables that the event itself offers, in their documented text forms; `used` leaves out all others."""
    values: dict[str, Value] = {
        "time": message.time,
        "device": message.device,
        "deviceTypeId": message.device_type,
        "data": message.data.hex(),
        "seqNumber": message.sequence_number,
    }
    for name, given in message.metadata.items():
        if used is None or name in used:
            form = _FORMS.get(name)
            values[name] = given if form is None or not isinstance(given, float) else form(given)
    return values


def with_custom_data(values: Values, decoded: Decoded) -> dict[str, Value]:
    """The variables of a message and the fields of its payload, each under `customData#name`."""
    own = dict(values)
    for name, field in decoded.values.items():
        own[CUSTOM_DATA + name] = field
    return own


def render_request(callback: Callback, message: Message) -> tuple[HttpRequest, tuple[str, ...]]:
    """Exactly what this callback sends for this message, and the warnings that the delivery would carry."""
    values: Mapping[str, Value] = variables_of(message)
    warnings: tuple[str, ...] = ()
    if callback.payload is not None:
        decoded = callback.payload.decode(message.data)
        values = with_custom_data(values, decoded)
        warnings = _missing_fields(callback.payload, decoded, message)
    return _request_builder(callback)(values), warnings


def _two_decimals(value: float) -> Value:
    return Json(f"{value:.2f}")


def _whole_degrees(value: float) -> Value:
    return Json(str(round(value)))


_TEXT_FORMS = {Form.TWO_DECIMALS: _two_decimals, Form.WHOLE_DEGREES: _whole_degrees}
# callbacks.md section 2.1: levels with two decimals (`-135.00`), positions of stations in whole degrees (`45`).
_FORMS: Mapping[str, Callable[[float], Value]] = {
    name: _TEXT_FORMS[variable.form]
    for name, variable in offered(CallbackType.DATA_UPLINK).items()
    if variable.form in _TEXT_FORMS
}


def _missing_fields(config: PayloadConfig, decoded: Decoded, message: Message) -> tuple[str, ...]:
    size = f"{len(message.data)} byte{'' if len(message.data) == 1 else 's'}"
    return tuple(
        f"The field {name} does not fit the payload of {size}; the payload config needs {config.size}. It is null."
        for name in decoded.missing
    )


def _compile(definition: Definition) -> _Compiled:
    callback, findings = check_callback(definition.key, definition.content)
    if callback is None:
        raise StoreError(f"{definition.key}, as stored, breaks a rule: {findings[0].detail}")
    builder = _request_builder(callback)
    return _Compiled(definition.digest, callback, builder({}).endpoint, builder, _variables_used(callback.channel))


def _variables_used(channel: Channel) -> frozenset[str]:
    if not isinstance(channel, UrlChannel):
        return frozenset()
    templates = [channel.url.target, *(template for _, template in channel.headers)]
    if channel.body is not None:
        templates.append(channel.body)
    return frozenset(variable.name for template in templates for variable in template.variables)


def _request_builder(callback: Callback) -> RequestBuilder:
    """A function from values to the request, with everything that does not depend on them prepared."""
    channel = callback.channel
    if not isinstance(channel, UrlChannel):
        # Checked definitions never come here: channels that are not executed yet are refused by name.
        raise ValueError(f"{callback.key}: channel {channel.kind} is not supported yet")
    url = channel.url
    fixed = partial(
        HttpRequest,
        method=channel.method,
        scheme=url.scheme,
        host=url.host,
        port=url.port,
        credentials=None if url.userinfo is None else url.userinfo.render({}),
        send_sni=channel.send_sni,
    )
    headers = _headers_builder(channel)
    target = url.target.render

    if channel.method is Method.GET:
        return lambda values: fixed(target=target(values), headers=headers(values), body=None)
    body = _body_builder(channel)
    return lambda values: fixed(target=target(values), headers=headers(values), body=body(values))


def _headers_builder(channel: UrlChannel) -> Callable[[Values], tuple[tuple[str, Rendered], ...]]:
    own: tuple[tuple[str, Rendered], ...] = ()
    if channel.method is not Method.GET:
        own = (("Content-Type", channel.content_type),)
    if not any(template.variables for _, template in channel.headers):
        constant = own + tuple((name, template.render({})) for name, template in channel.headers)
        return lambda values: constant
    return lambda values: own + tuple((name, template.render(values)) for name, template in channel.headers)


def _body_builder(channel: UrlChannel) -> Callable[[Values], Rendered]:
    body = channel.body or Template("", ())
    query = channel.url.query
    if query is None or not is_form(channel.content_type):
        return body.render
    if not body.text:
        return query.render
    return lambda values: join(query.render(values), "&", body.render(values))


def is_form(content_type: str) -> bool:
    """Whether a content type, parameters aside, is the form type."""
    return content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"
