"""Drift as somebody reads it who has to decide: undo it, or accept it."""

import json

from reconciler.cli.render.drift import drift_as_json, drift_as_text
from reconciler.cli.render.text import Paint
from reconciler.model.definition import Content
from reconciler.model.plan import Plan
from reconciler.model.snapshot import Blame
from reconciler.plan.planner import make_plan
from tests.unit.cli.test_reports import AT
from tests.unit.plan.pictures import Contents, desired, observed

PLAIN = Paint(coloured=False)


def callback(url: str) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": url}


A, B = callback("https://a.example.com/"), callback("https://b.example.com/")
FILES: Contents = {"tracker": {}, "tracker/a": A, "tracker/b": B}


def plan(now: Contents, *, files: Contents = FILES) -> Plan:
    wanted = desired(files)
    blame = {name: Blame("Mallory", 6, AT) for name in files}
    return make_plan(wanted, observed(now, known=wanted, applied=FILES, blame=blame), environment="dev", target="here")


def test_without_drift_there_is_nothing_to_decide() -> None:
    shown = drift_as_text(plan(FILES), paint=PLAIN)
    assert shown.startswith("No drift: nobody changed dev (here, revision ")
    assert "reconciler" not in shown


def test_each_kind_of_drift_tells_what_by_whom_and_what_an_apply_does() -> None:
    shown = drift_as_text(plan({"tracker": {}, "tracker/a": B, "tracker/c": A}), paint=PLAIN)
    assert (
        "~ changed   tracker/a  by Mallory in revision 6, 2026-11-23 14:19:18Z\n"
        "    An apply undoes it.\n"
        "    - url: https://a.example.com/\n"
        "    + url: https://b.example.com/\n"
    ) in shown
    assert (
        "- vanished  tracker/b  by Mallory in revision 6, 2026-11-23 14:19:18Z\n"
        "    An apply undoes it.\n"
        "    - type: data/uplink\n"
    ) in shown
    assert "+ appeared  tracker/c\n    An apply undoes it.\n    + type: data/uplink\n" in shown
    assert "3 definitions of dev (here, revision " in shown
    assert "To undo this:\n\n    reconciler apply -e dev\n" in shown
    assert shown.endswith("bring what is there into the files:\n\n    reconciler import -e dev\n")


def test_what_the_files_say_by_now_needs_no_apply() -> None:
    shown = drift_as_text(plan({**FILES, "tracker/a": B}, files={**FILES, "tracker/a": B}), paint=PLAIN)
    assert "    The files say the same by now.\n" in shown
    assert "An apply would leave this as it is." in shown
    assert "reconciler apply" not in shown


def test_it_is_told_how_much_an_apply_undoes() -> None:
    shown = drift_as_text(plan({**FILES, "tracker/a": B, "tracker/b": A}, files={**FILES, "tracker/a": B}), paint=PLAIN)
    assert "To undo one of them:" in shown


def test_programs_get_it_in_the_form_of_a_saved_plan() -> None:
    document = json.loads(drift_as_json(plan({**FILES, "tracker/a": B})))
    assert document["environment"] == "dev"
    (drift,) = document["drift"]
    assert (drift["key"], drift["kind"], drift["undone"]) == ("tracker/a", "changed", True)
    assert drift["blame"]["by"] == "Mallory"


def test_a_password_in_a_url_is_hidden() -> None:
    secret = callback("https://login:passw0rd@a.example.com/")
    for shown in (drift_as_text, lambda plan, paint: drift_as_json(plan)):
        assert "passw0rd" not in shown(plan({**FILES, "tracker/a": secret}), paint=PLAIN)
