"""What a device type and its callbacks do not agree on, with the places where it is written.

1. The rules are `model.together`'s; here each finding gets its place, and the other definition's beside it.
2. While a part of a document is set aside for its faults, only what is there too often is reported: what is missing may
   be among what was set aside.
"""

from collections.abc import Iterator, Mapping

from reconciler.config.overlay import Layered
from reconciler.config.place import Document, Steps
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.model.definition import Content, JointFinding, check_together
from reconciler.model.resource import Key

__all__ = ["joint_findings"]


def joint_findings(layers: Layered, contents: Mapping[str, Content]) -> Iterator[Diagnostic]:
    """What a device type and its callbacks do not agree on."""
    declared = layers.declared
    whole = declared.value == declared.document.value
    keyed = {Key(declared.name, callback): content for callback, content in contents.items()}
    for each in check_together(Key(declared.name), keyed):
        if whole or each.finding.severity is Severity.ERROR:
            yield _diagnostic(each, layers)


def _diagnostic(joint: JointFinding, layers: Layered) -> Diagnostic:
    finding = joint.finding
    document, steps = _place(layers, joint.key, finding.path)
    others = ((place.label, *_place(layers, place.key, place.path)) for place in joint.others)
    related = tuple((label, other.span(way)) for label, other, way in others)
    span = document.key_span(steps) if finding.at_key else document.span(steps)
    return Diagnostic(
        finding.code, finding.summary, finding.detail, finding.help, finding.severity, span, related=related
    )


def _place(layers: Layered, key: Key, path: tuple[str, ...]) -> tuple[Document, Steps]:
    """Where a value is written; of one that a device type leaves out, the device type's name."""
    document, steps = layers.place(("callbacks", key.callback, *path) if key.callback else path)
    return (document, steps) if key.callback or document.holds(steps) else (document, ("name",))
