"""What a definition can break: the list of all codes, and a finding as a value.

Each code has one summary, so that the same problem always reads the same, and one page of `reconciler explain`. The
codes of the two small languages are here too, because a definition is where their texts are found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.diagnostics import Severity

__all__ = ["SUMMARIES", "Finding", "finding", "refused"]

SUMMARIES: Final[Mapping[str, str]] = {
    "unknown-callback-type": "The type of a callback is not known",
    "unknown-channel": "The channel of a callback is not known",
    "unknown-method": "The HTTP method of a callback is not known",
    "unknown-downlink-mode": "The downlink mode is not known",
    "missing-key": "A required key is missing",
    "field-not-of-channel": "A key does not belong to this channel",
    "forbidden-header": "A standard request header cannot be set",
    "bad-header-name": "A header has an impossible name",
    "duplicate-header": "A header is set twice",
    "credentials-twice": "Credentials are given twice",
    "body-on-get": "A GET request has no body",
    "content-type-not-supported": "The content type is not one of those supported",
    "json-body-missing": "A JSON request has no body",
    "data-advanced-not-json": "A data-advanced callback does not send JSON",
    "bad-signature": "A request can not be signed like this",
    "bad-recipient": "A recipient is not an e-mail address",
    "recipient-twice": "A recipient is named twice",
    "variable-in-recipient": "A recipient is not fixed",
    "empty-mail": "A mail says nothing",
    "mail-cannot-answer": "A mail cannot answer a device",
    "send-duplicates-without-effect": "Events of this type have no duplicates",
    "keep-alive-too-short": "The keep-alive is too short",
    "bad-downlink-data": "The downlink data does not make 8 bytes",
    "downlink-data-not-direct": "Downlink data without the mode that sends it",
    "downlink-hook-not-bidir": "Only a data/bidir callback can answer a device",
    "ordered-bidir": "A callback that may answer devices does not wait for order",
    "downlink-hook-twice": "Two callbacks are selected to answer the same devices",
    "downlink-hook-unused": "A callback is selected to answer, and never asked",
    "downlink-callback-missing": "No callback answers the devices",
    "error-without-keep-alive": "No silence is supervised, and a callback waits for one",
    "unknown-variable": "A template names a variable that does not exist",
    "variable-not-offered": "A template names a variable that this type does not offer",
    "undeclared-custom-data": "The payload config does not declare this field",
    "custom-data-without-payload": "A template uses payload fields without a payload config",
    "object-variable-quoted": "A JSON value stands within quotes",
    "object-variable-in-line": "A JSON value stands in the line of a batch",
    "payload-not-of-type": "Callbacks of this type carry no payload",
    "payload-beyond-uplink": "A payload field lies beyond the end of every uplink",
    # the payload config language
    "payload-empty": "A payload config is empty",
    "payload-syntax": "A payload config is not a list of fields",
    "payload-bad-name": "A payload field has an impossible name",
    "payload-duplicate-name": "Two payload fields have the same name",
    "payload-bad-type": "A payload field has an unknown type",
    "payload-bad-index": "A payload field begins at an impossible byte",
    "payload-bad-length": "A payload field has an impossible length",
    "payload-bad-endianness": "A payload field has an impossible byte order",
    "payload-bad-bit": "A payload field begins at an impossible bit",
    # the template language
    "template-control-character": "A template holds a character that cannot be sent",
    "template-unknown-reference": "A template holds a reference that cannot be resolved",
    "template-bad-url": "A URL is not valid",
    "template-url-fragment": "A URL has a fragment",
    "template-variable-in-host": "A variable decides where a request goes",
    "template-batch-missing": "A batch URL has no place for the lines",
    "template-batch-twice": "A batch URL has two places for the lines",
    "template-batch-misplaced": "The lines of a batch are not the value of a query pair",
    "template-variable-in-batch-url": "A batch URL names a variable of a message",
    "template-invalid-json": "A JSON body is not valid JSON",
    "template-bad-form-body": "A form body is not made of pairs",
}
"""Every code that a definition can break, and what it is called."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a content breaks.

    `path` leads to the value at fault; `offset` and `length` mark the characters within its text, None for all of it;
    with `at_key` it is the last key of the path that is at fault, not its value.
    The other attributes are those of `Diagnostic`.
    """

    path: tuple[str, ...]
    code: str
    summary: str
    detail: str
    help: str = ""
    severity: Severity = Severity.ERROR
    offset: int | None = None
    length: int = 1
    at_key: bool = False


def finding(
    code: str,
    path: tuple[str, ...],
    detail: str,
    *,
    help: str = "",
    offset: int | None = None,
    length: int = 1,
    at_key: bool = False,
    severity: Severity = Severity.ERROR,
) -> Finding:
    """A finding under its registered summary."""
    return Finding(path, code, SUMMARIES[code], detail, help, severity, offset, length, at_key)


def refused(found: Iterable[Finding]) -> bool:
    """Whether one of them is an error."""
    return any(each.severity is Severity.ERROR for each in found)
