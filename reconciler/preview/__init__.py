"""What a revision does to given messages, without sending anything. This module is the table of contents. Pure.

    firing      a message and one callback: what would be sent, or why nothing would
    expectation what a test of a callback expects, compared with that
    difference  two JSON values compared
    testing     the tests of callbacks, run against a revision

The engine's own router decides and renders (`runtime.routing`), so that a preview cannot differ from what is delivered.
"""

from reconciler.preview.expectation import Mismatch, Verdict, verdict
from reconciler.preview.firing import Firing, batch_of_one, fire, fired_by
from reconciler.preview.testing import Failure, Trial, router_of, run_test

__all__ = [
    "Failure",
    "Firing",
    "Mismatch",
    "Trial",
    "Verdict",
    "batch_of_one",
    "fire",
    "fired_by",
    "router_of",
    "run_test",
    "verdict",
]
