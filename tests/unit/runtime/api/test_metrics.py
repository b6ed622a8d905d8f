from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.delivery import State
from reconciler.runtime.api.metrics import Sample, _kept, exposition
from reconciler.store.protocol import EndpointBacklog


def test_the_text_format_of_prometheus() -> None:
    metrics = [
        ("reconciler_revision", "gauge", "The current revision.", [Sample({}, 7)]),
        (
            "reconciler_seconds",
            "histogram",
            "How long.",
            [Sample({"le": "+Inf"}, 2, "_bucket"), Sample({}, 0.5, "_sum")],
        ),
    ]

    assert exposition(metrics) == (
        "# HELP reconciler_revision The current revision.\n"
        "# TYPE reconciler_revision gauge\n"
        "reconciler_revision 7\n"
        "# HELP reconciler_seconds How long.\n"
        "# TYPE reconciler_seconds histogram\n"
        'reconciler_seconds_bucket{le="+Inf"} 2\n'
        "reconciler_seconds_sum 0.5\n"
    )


def test_nothing_in_a_label_can_end_it() -> None:
    (_, _, line) = exposition([("m", "gauge", "x", [Sample({"endpoint": 'a"} 1\n\\'}, 0)])]).splitlines()

    assert line == 'm{endpoint="a\\"} 1\\n\\\\"} 0'


NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(("endpoints", "told"), [(0, 0), (1, 1), (100, 100), (101, 100), (5_000, 100)])
def test_endpoints_are_told_within_a_bound_and_none_is_lost(endpoints: int, told: int) -> None:
    backlog = [
        EndpointBacklog(f"https://{number:05}.example:443", 2, NOW - timedelta(seconds=number))
        for number in range(endpoints)
    ]
    pending, oldest = list(_kept(dict.fromkeys(State, 0), backlog, now=NOW))[1:]
    ages = {sample.labels["endpoint"]: sample.value for sample in oldest.samples}

    assert len(pending.samples) == len(ages) == told
    assert sum(sample.value for sample in pending.samples) == 2 * endpoints
    assert max(ages.values(), default=0) == max(endpoints - 1, 0), "the one to alert on has its name"
    assert ("other" in ages) == (endpoints > 100)
    assert ages.get("other", 0) == max(0, endpoints - 100)
