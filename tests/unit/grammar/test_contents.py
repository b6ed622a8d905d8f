"""The package's table of contents."""

import importlib

from reconciler import grammar

_MODULES = [
    importlib.import_module(f"reconciler.grammar.{name}")
    for name in ("batch_url", "body", "escape", "payload", "template", "url")
]


def test_it_offers_only_what_its_modules_offer_and_the_same_things() -> None:
    offered = {name: getattr(module, name) for module in _MODULES for name in module.__all__}
    assert {name: getattr(grammar, name) for name in grammar.__all__} == {
        name: offered[name] for name in grammar.__all__
    }
