"""A slice of `injection.py`, and that it finds what it is for."""

from collections.abc import Iterator
from importlib import import_module

import pytest

from reconciler.grammar.escape import Context, text_form
from reconciler.model import template_rules, url_rules
from reconciler.runtime.channels import mail_wire
from tests.fuzz import injection
from tests.fuzz.injection import Broken, run

CASES = 4_000


@pytest.fixture
def _afresh() -> Iterator[None]:
    """Templates are compiled anew, before and after."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (injection.senders, template_rules._parsed, url_rules._headers, url_rules._body):
        cached.cache_clear()
    injection._EXPECTED.clear()


@pytest.mark.parametrize("seed", [1, 20_261_123])
def test_no_value_leaves_its_place(seed: int) -> None:
    done = run(seed=seed, cases=CASES)
    assert sum(done.values()) == CASES
    assert len(done) >= 16, "every channel, method and kind of body"


def test_a_case_can_be_repeated() -> None:
    assert run(seed=1, cases=1, first=4_711) == run(seed=1, cases=1, first=4_711)


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("context", [each for each in Context if each is not Context.TEXT])
def test_a_place_without_its_escaping_is_found(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    escapers = vars(import_module("reconciler.grammar.escape"))["_ESCAPERS"]
    monkeypatch.setitem(escapers, context, text_form)
    with pytest.raises(Broken):
        run(seed=1, cases=CASES)


@pytest.mark.usefixtures("_afresh")
def test_a_subject_that_is_written_as_it_is_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_wire, "_subject", lambda text: text.encode("ascii", "replace").decode())
    with pytest.raises(Broken):
        run(seed=1, cases=CASES)
