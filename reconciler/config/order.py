"""The order in which keys are written: what `fmt` brings files into, and where `import` puts a new key.

1. A key that the file format knows has its place, from what a thing is to what it does and how it is tested. Fields of
   definitions have it from `model.writing_order`, as plans do. Tests hold these tables to `config.document`, so that no
   key is forgotten.
2. What people name themselves (callbacks, environments, variables, headers) stays as they ordered it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.model.writing_order import CALLBACK_FIELDS, DEVICE_TYPE_FIELDS

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A mapping or list of the file format.

    Attributes:
        keys: the known keys in their order, and what stands below each.
        each: what stands below every other key, or is an item.
        apart: whether a blank line stands between its entries, and before it.
    """

    keys: "Mapping[str, Shape]" = field(default_factory=dict)
    each: "Shape | None" = None
    apart: bool = False

    def below(self, key: str) -> "Shape":
        """What stands below a key."""
        return self.keys.get(key) or self.each or _ANYTHING

    def place(self, key: str) -> int:
        """Where a key stands among others: merged mappings first, unknown keys last."""
        if key == "<<":
            return -1
        return list(self.keys).index(key) if key in self.keys else len(self.keys)


_ANYTHING: Final = Shape()


def _shape(*names: str, **below: Shape) -> Shape:
    """A mapping with these keys; what stands below some of them comes by name."""
    return Shape({name: below.get(name, _ANYTHING) for name in names})


_MOVED = Shape(each=_shape("from", "to"))
_DOWNLINK = _shape("mode", "data")
_EXPECTATION = _shape(
    "fires",
    "method",
    "url",
    "headers",
    "contentType",
    "body",
    "json",
    "line",
    "recipient",
    "recipients",
    "subject",
    "message",
    "custom",
)
_TESTS = Shape(each=_shape("name", "environments", "given", "expect", expect=_EXPECTATION))
_CALLBACK = _shape(*CALLBACK_FIELDS, "tests", tests=_TESTS)
_CALLBACKS = Shape(each=_CALLBACK, apart=True)
_OVERRIDE = _shape(*DEVICE_TYPE_FIELDS, "callbacks", downlink=_DOWNLINK, callbacks=Shape(each=_CALLBACK))
_COMPARISON = _shape("regex", "in", "present", "min", "max")
_POLICIES = Shape(
    each=_shape(
        "name",
        "message",
        "severity",
        "environments",
        "match",
        "require",
        "forbid",
        match=Shape(each=_COMPARISON),
        require=Shape(each=_COMPARISON),
        forbid=Shape(each=_COMPARISON),
    )
)
_ENVIRONMENT = _shape(
    "promotesFrom",
    "protected",
    "limits",
    "target",
    "variables",
    "overrides",
    target=_shape("engine", "token", "sigfox", "login", "password"),
    overrides=Shape(each=_OVERRIDE),
)

SHAPES: Final[Mapping[str, Shape]] = {
    "Project": _shape(
        "apiVersion",
        "kind",
        "name",
        "sources",
        "limits",
        "policies",
        "moved",
        "removed",
        "environments",
        policies=_POLICIES,
        moved=_MOVED,
        environments=Shape(each=_ENVIRONMENT, apart=True),
    ),
    "DeviceType": _shape(
        "apiVersion",
        "kind",
        "name",
        *DEVICE_TYPE_FIELDS,
        "moved",
        "callbacks",
        downlink=_DOWNLINK,
        moved=_MOVED,
        callbacks=_CALLBACKS,
    ),
}
"""The documents by their kinds."""
