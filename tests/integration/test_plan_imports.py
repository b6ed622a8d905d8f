"""What planning loads: libraries are paid for by the plans that need them."""

import subprocess
import sys

import pytest

PLANNING = """
import sys
from reconciler.codec.canonical import define
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Fingerprint, Observed
from reconciler.plan.planner import make_plan

key = Key("tracker")
old, new = define(key, {}), define(key, {"description": "new"})
observed = Observed({key: old.digest}, {key: old}, {}, Fingerprint(1, ""))
make_plan(Desired("p", {key: HELD}, {}), observed, environment="dev", target="here")
print("deepdiff" in sys.modules)
"""


@pytest.mark.parametrize(("declared", "loaded"), [("old", "False"), ("new", "True")])
def test_the_diff_library_is_loaded_only_for_updates(declared: str, loaded: str) -> None:
    script = PLANNING.replace("HELD", declared)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == loaded
