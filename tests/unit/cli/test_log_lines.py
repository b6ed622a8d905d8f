"""The engine's log: one line for each thing that happened, whatever is in it."""

import io
import logging

import pytest

from reconciler.cli.log_lines import LogLines


def line_of(message: str, **fields: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 1_700_000_000.5, **fields})
    return LogLines().format(record)


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, ""),
        ({"revision": 3, "by": "ana"}, " revision=3 by=ana"),
        ({"by": "Ana <ana@example.com>"}, ' by="Ana <ana@example.com>"'),
        ({"error": 'a "quoted" \\ one'}, ' error="a \\"quoted\\" \\\\ one"'),
        ({"note": ""}, ' note=""'),
        ({"path": "/x\n2026 ERROR forged"}, ' path="/x\\\\n2026 ERROR forged"'),
    ],
)
def test_an_event_is_one_line_with_its_fields(fields: dict[str, object], written: str) -> None:
    assert line_of("revision.published", **fields) == f"2023-11-14T22:13:20.500Z INFO revision.published{written}"


def test_a_bug_shows_its_traceback_below_the_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise ZeroDivisionError("none")
    except ZeroDivisionError:
        logger.exception("api.bug")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR api.bug")
    assert rest[-1] == "ZeroDivisionError: none"
