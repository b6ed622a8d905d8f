from reconciler.runtime.api.metrics import Sample, exposition


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
