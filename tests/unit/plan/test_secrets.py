"""Secrets with other values."""

import pytest

from reconciler.model.plan import Resecret
from reconciler.model.resource import Key
from reconciler.model.snapshot import SecretState
from tests.unit.plan.pictures import Contents, planned, told

A, B, C = Key("tracker", "a"), Key("tracker", "b"), Key("tracker", "c")
FILES: Contents = {"tracker": {}, "tracker/a": {}, "tracker/b": {}}


@pytest.mark.parametrize(
    ("published", "current", "applied", "changed"),
    [
        ("1f", "1f", True, False),
        ("1f", "2e", True, True),
        ("1f", "2e", False, True),
        ("1f", None, True, True),
        (None, "2e", True, True),
        (None, "2e", False, False),
        (None, None, True, False),
    ],
)
def test_a_secret_has_changed_when_its_fingerprint_has(
    published: str | None, current: str | None, applied: bool, changed: bool
) -> None:
    state = SecretState(published, current, (B, A))
    made = planned(FILES, FILES, applied=FILES if applied else None, secrets={"TOKEN": state})
    assert made.changes == ((Resecret(A, "TOKEN", published, current, (A, B)),) if changed else ())


def test_each_secret_is_a_change_by_name() -> None:
    states = {name: SecretState("1f", "2e", (A,)) for name in ("Z", "A", "M")}
    assert told(planned(FILES, FILES, secrets=states)) == [
        "resecret A at tracker/a: secret-changed",
        "resecret M at tracker/a: secret-changed",
        "resecret Z at tracker/a: secret-changed",
    ]


def test_a_secret_is_known_by_the_callbacks_that_stay_and_the_names_they_get() -> None:
    states = {
        "OLD": SecretState("1f", "2e", (A,)),
        "NEW": SecretState("1f", "2e", (A, B)),
        "OTHERS": SecretState("1f", "2e", ()),
    }
    made = planned({"tracker": {}, "tracker/c": {}}, FILES, moved={"tracker/b": "tracker/c"}, secrets=states)
    assert [change for change in made.changes if isinstance(change, Resecret)] == [Resecret(C, "NEW", "1f", "2e", (C,))]
