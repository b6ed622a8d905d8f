"""Definitions: what they are made of, and every rule that they must obey. This module is the table of contents.

    content                    the canonical form of a definition's content
    device_type, callback      the checks: content → resource, or what is wrong with it
    url_rules, mail_rules      the rules of the channels
    template_rules             the rules of what templates and payload configs may say
    together                   what a device type and its callbacks have to agree on

The files' loader and the engine's publish door use the same rules from here; neither trusts the other. What is not
said here about a rule is in `callbacks.md`: section 1 (types and channels), 2 (variables), 3 (payload configs),
4 (channels) and 6 (downlinks).

1. A check reports everything that is wrong, never the first only, and builds the resource when nothing is.
2. It expects the shape that `codec.definition` accepts: known fields of the right types, all words of a vocabulary
   known, required fields present or not; whether they are needed is decided here.
"""

from reconciler.model.callback import check_callback
from reconciler.model.content import (
    CALLBACK_DEFAULTS,
    CHANNEL_FIELDS,
    DEVICE_TYPE_DEFAULTS,
    FORM_CONTENT_TYPE,
    NAME_PATTERN,
    Content,
    Definition,
    JsonValue,
    no_such_field,
)
from reconciler.model.device_type import check_device_type
from reconciler.model.finding import SUMMARIES, Finding
from reconciler.model.together import JointFinding, Place, check_together
from reconciler.model.url_rules import BodyKind, body_kind

__all__ = [
    "CALLBACK_DEFAULTS",
    "CHANNEL_FIELDS",
    "DEVICE_TYPE_DEFAULTS",
    "FORM_CONTENT_TYPE",
    "NAME_PATTERN",
    "SUMMARIES",
    "BodyKind",
    "Content",
    "Definition",
    "Finding",
    "JointFinding",
    "JsonValue",
    "Place",
    "body_kind",
    "check_callback",
    "check_device_type",
    "check_together",
    "no_such_field",
]
