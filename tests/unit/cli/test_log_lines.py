"""The engine's log: one line for each thing that happened, whatever is in it."""

import contextlib
import io
import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.log_lines import JsonLines, LogLines, audit_to
from reconciler.runtime.api.audit import AUDIT_LOGGER


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
        ({"by": "a\xa0b\u3000c\u2009=é"}, ' by="a\\\\u00a0b\\\\u3000c\\\\u2009=é"'),
        ({"path": "/x\n2026 ERROR forged"}, ' path="/x\\\\n2026 ERROR forged"'),
    ],
)
def test_an_event_is_one_line_with_its_fields(fields: dict[str, object], written: str) -> None:
    assert line_of("revision.published", **fields) == f"2023-11-14T22:13:20.500Z INFO revision.published{written}"


@pytest.mark.parametrize("value", ["a\nb", 'a"b', "\x1b[2J", "ü", "\u2028", 7, 0.5, None, Path("x")])
def test_as_json_an_event_is_one_object_on_one_line(value: object) -> None:
    line = JsonLines().format(
        logging.makeLogRecord(
            {"msg": "tokens.bad-line", "levelname": "ERROR", "created": 1_700_000_000.5, "reason": value}
        )
    )
    read = json.loads(line)

    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert list(read) == ["at", "level", "event", "reason"]
    assert (read["at"], read["level"], read["event"]) == ("2023-11-14T22:13:20.500Z", "ERROR", "tokens.bad-line")
    assert read["reason"] == (str(value) if isinstance(value, Path) else value)


def test_as_json_a_traceback_is_a_field() -> None:
    try:
        raise ZeroDivisionError("none")
    except ZeroDivisionError:
        record = logging.makeLogRecord({"msg": "api.bug", "exc_info": sys.exc_info()})

    assert json.loads(JsonLines().format(record))["exception"].endswith("ZeroDivisionError: none")


@pytest.fixture
def audit() -> Iterator[logging.Logger]:
    logger = logging.getLogger(AUDIT_LOGGER)
    yield logger
    for handler in logger.handlers:
        with contextlib.suppress(OSError):  # of a disk that is full, once more
            handler.close()
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def test_an_audit_log_is_its_owners_and_survives_being_moved_away(audit: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit_to(path)
    audit.info("audit.tokens", extra={"added": "ci(read)"})
    path.rename(tmp_path / "audit.log.1")
    audit.info("audit.replayed", extra={"deliveries": 3})

    assert json.loads((tmp_path / "audit.log.1").read_text())["added"] == "ci(read)"
    assert json.loads(path.read_text())["deliveries"] == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_audit_line_that_can_not_be_written_is_told_and_stops_nothing(
    audit: logging.Logger, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    audit_to(Path("/dev/full"))
    audit.info("audit.tokens", extra={"added": "ci(read)"})

    assert [record.message for record in caplog.records] == ["audit.not-written"]


def test_an_audit_log_that_can_not_be_opened_is_an_error(audit: logging.Logger, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        audit_to(tmp_path / "missing" / "audit.log")


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
