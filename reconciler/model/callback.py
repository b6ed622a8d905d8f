"""The rules of callbacks: types, channels and what goes together (`callbacks.md` section 1).

1. Type and channel decide everything else; when one of them is not known, nothing else is looked into.
2. What can be declared and has no effect is a warning: the operator takes it, and a project that was imported from
   there has to pass.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.diagnostics import Severity
from reconciler.model.content import CHANNEL_FIELDS, Content, no_such_field, text_of
from reconciler.model.finding import Finding, finding, refused
from reconciler.model.mail_rules import email_channel
from reconciler.model.resource import Callback, CallbackType, Channel, Key, Method
from reconciler.model.template_rules import Scope, did_you_mean, parsed_payload
from reconciler.model.url_rules import batch_url_channel, url_channel
from reconciler.model.variables import offered, offering, takes_payload

__all__ = ["check_callback"]

_CALLBACK_TYPES: Final = {str(each): each for each in CallbackType}
_METHODS: Final = {str(each): each for each in Method}


def check_callback(key: Key, content: Content) -> tuple[Callback | None, tuple[Finding, ...]]:
    """Build the callback; None when a finding is an error."""
    callback_type = _CALLBACK_TYPES.get(text_of(content, "type"))
    if callback_type is None or content.get("channel") not in CHANNEL_FIELDS:
        return None, tuple(_vocabulary_findings(content))
    found = [] if _fields_fit(content) else [*_field_findings(content)]
    payload, findings = parsed_payload(content)
    found += findings
    found += _combination_findings(content, callback_type)
    scope = Scope(callback_type, payload, broken=payload is None and bool(findings))
    channel = _channel(content, scope, found)
    if channel is None or refused(found):
        return None, tuple(found)
    callback = Callback(
        key=key,
        type=callback_type,
        channel=channel,
        payload=payload,
        enabled=bool(content.get("enabled", True)),
        send_duplicates=bool(content.get("sendDuplicates", False)) and _has_duplicates(callback_type),
        protect=bool(content.get("protect", False)),
    )
    return callback, tuple(found)


def _channel(content: Content, scope: Scope, found: list[Finding]) -> Channel | None:
    method = _METHODS.get(text_of(content, "method"), Method.POST)
    match content["channel"]:
        case "url":
            return url_channel(content, method, scope, found)
        case "batch-url":
            return batch_url_channel(content, method, scope, found)
        case _:
            return email_channel(content, scope, found)


def _vocabulary_findings(content: Content) -> Iterator[Finding]:
    callback_type, channel = text_of(content, "type"), text_of(content, "channel")
    if callback_type not in _CALLBACK_TYPES:
        yield _unknown_word("unknown-callback-type", "type", callback_type, list(_CALLBACK_TYPES))
    if channel not in CHANNEL_FIELDS:
        yield _unknown_word("unknown-channel", "channel", channel, list(CHANNEL_FIELDS))


def _fields_fit(content: Content) -> bool:
    return content.keys() <= CHANNEL_FIELDS[text_of(content, "channel")] and text_of(content, "method") in _METHODS


def _field_findings(content: Content) -> Iterator[Finding]:
    channel = text_of(content, "channel")
    for name in sorted(content.keys() - CHANNEL_FIELDS[channel]):
        yield finding("field-not-of-channel", (name,), no_such_field(channel, name), at_key=True)
    method = text_of(content, "method")
    if method not in _METHODS:
        yield _unknown_word("unknown-method", "method", method, list(_METHODS))


def _unknown_word(code: str, name: str, word: str, known: Sequence[str]) -> Finding:
    if not word:
        return finding("missing-key", (name,), f"A callback needs its {name}: one of {', '.join(known)}.")
    return finding(code, (name,), f"{word} is none of {', '.join(known)}.", help=did_you_mean(word, known))


def _has_duplicates(callback_type: CallbackType) -> bool:
    """Whether several stations report one event: those types offer `{duplicate}` (section 2)."""
    return "duplicate" in offered(callback_type)


def _combination_findings(content: Content, callback_type: CallbackType) -> Iterator[Finding]:
    """What does not go together with the type, field by field."""
    if "payload" in content and not takes_payload(callback_type):
        detail = f"A {callback_type} callback carries no payload, so that there is nothing to decode."
        yield finding("payload-not-of-type", ("payload",), detail, at_key=True)
    is_bidir = callback_type is CallbackType.DATA_BIDIR
    # On channel email the field itself is reported: it has none of that name.
    if content.get("downlinkHook") and not is_bidir and "downlinkHook" in CHANNEL_FIELDS[text_of(content, "channel")]:
        detail = f"Devices wait for the answer of a data/bidir callback only; this one is {callback_type}."
        yield finding("downlink-hook-not-bidir", ("downlinkHook",), detail, at_key=True)
    # On other channels the field itself is reported.
    if is_bidir and content.get("ordered") and "ordered" in CHANNEL_FIELDS[text_of(content, "channel")]:
        detail = (
            "A device that asks for a downlink listens for seconds; a data/bidir callback that waits for the delivery "
            "before it, which may take minutes, would answer too late."
        )
        help = "Take ordered away, or keep the order in a data/uplink callback beside this one."
        yield finding("ordered-bidir", ("ordered",), detail, help=help, at_key=True)
    if is_bidir and content["channel"] == "email":
        detail = (
            "A data/bidir callback may answer the device, and a mail brings no answer back. It is sent like any other."
        )
        help = "Write type: data/uplink, which fires on the same messages."
        yield finding("mail-cannot-answer", ("channel",), detail, help=help, severity=Severity.WARNING)
    if content.get("sendDuplicates") and not _has_duplicates(callback_type):
        *some, last = offering("duplicate")
        detail = (
            f"A {callback_type} event is reported once; only {', '.join(some)} and {last} callbacks fire again for "
            "every further station that received the message."
        )
        yield finding(
            "send-duplicates-without-effect",
            ("sendDuplicates",),
            detail,
            help="Take it away.",
            severity=Severity.WARNING,
            at_key=True,
        )
