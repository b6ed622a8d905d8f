"""What the lines of a journal tell together, wherever they end."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from reconciler.apply.journal import (
    Abandoned,
    Begun,
    Entry,
    Finished,
    Intended,
    Made,
    Refused,
    Resumed,
    Sent,
    dump_entry,
    intended,
    load_entry,
    load_journal,
)
from reconciler.codec.canonical import define
from reconciler.model.resource import Key
from tests.conformance.one_by_one import twelve_changes

AT = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
BEGUN = Begun(
    plan="d" * 32,
    environment="dev",
    target="http://127.0.0.1:8460",
    owner="cold-chain",
    base=7,
    atomic=False,
    changes=3,
    by="Ana <ana@example.com>",
    commit="5b6bab4-dirty",
    note="first\nof two",
    via="apply",
)
A, B = Key("tracker", "a"), Key("tracker", "b")
ENTRIES: Sequence[Entry] = (
    BEGUN,
    Intended(0, "create", A, None, "a" * 32),
    Made(0, "create", A),
    Intended(1, "delete", B, "b" * 32, None),
    Refused(1, "delete", B),
    Sent(),
    Resumed((0,)),
    Finished("done", 8),
    Finished("stopped", None),
    Abandoned(),
)


def lines(*entries: Entry) -> bytes:
    return b"".join(dump_entry(entry, at=AT) for entry in entries)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_a_line_is_read_back_as_it_was(entry: Entry) -> None:
    line = dump_entry(entry, at=AT)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load_entry(line) == (AT, entry)


@pytest.mark.parametrize(
    ("steps", "made", "in_doubt"),
    [
        ((), (), ()),
        ((Intended(0, "create", A, None, "a"),), (), (0,)),
        ((Intended(0, "create", A, None, "a"), Made(0, "create", A)), (0,), ()),
        ((Intended(0, "create", A, None, "a"), Refused(0, "create", A)), (), ()),
        ((Intended(0, "create", A, None, "a"), Made(0, "create", A), Intended(1, "delete", B, "b", None)), (0,), (1,)),
        ((Intended(0, "create", A, None, "a"), Resumed(())), (), ()),
        ((Intended(0, "create", A, None, "a"), Resumed((0,))), (0,), ()),
    ],
)
def test_a_step_is_in_doubt_between_its_two_lines(
    steps: Sequence[Entry], made: Sequence[int], in_doubt: Sequence[int]
) -> None:
    course = load_journal(lines(BEGUN, *steps))
    assert (course.made, course.in_doubt) == (frozenset(made), frozenset(in_doubt))
    assert course.began_at == AT


@pytest.mark.parametrize(
    ("steps", "unfinished", "resumable"),
    [
        ((), True, True),
        ((Sent(),), True, True),
        ((Finished("done", 8),), False, False),
        ((Finished("stopped", None),), False, True),
        ((Abandoned(),), False, False),
        ((Finished("stopped", None), Resumed(())), True, True),
        ((Resumed(()), Finished("done", None)), False, False),
    ],
)
def test_an_apply_is_unfinished_until_its_last_line(
    steps: Sequence[Entry], *, unfinished: bool, resumable: bool
) -> None:
    course = load_journal(lines(BEGUN, *steps))
    assert (course.is_unfinished, course.can_be_resumed) == (unfinished, resumable)


def test_wherever_the_last_line_was_cut_off_it_counts_for_nothing() -> None:
    whole, last = lines(BEGUN, Intended(0, "create", A, None, "a")), lines(Made(0, "create", A))
    for length in range(len(last)):
        assert load_journal(whole + last[:length]) == load_journal(whole)
    assert load_journal(whole + last).made == {0}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not begin"),
        (lines(BEGUN)[:-1], "does not begin"),
        (lines(Sent()), "does not begin"),
        (lines(BEGUN, BEGUN), "two plans"),
        (lines(BEGUN) + b"{}\n" + lines(Sent()), "Line 2 is not a line of a journal"),
        (lines(BEGUN) + b"nonsense\n", "Line 2 is not a line of a journal"),
        (lines(BEGUN).replace(b"journal/1", b"journal/2"), "reconciler-journal/2"),
        (lines(BEGUN, Sent()).replace(b'"sent"', b'"lost"'), "unknown event"),
        (lines(BEGUN, Made(0, "create", A)).replace(b"create", b"mend"), "unknown kind"),
        (lines(BEGUN, Finished("done", 1)).replace(b'"done"', b'"won"'), "unknown outcome"),
    ],
)
def test_a_damaged_journal_is_refused_and_nothing_is_guessed(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_journal(data)


def test_a_line_holds_keys_and_digests_and_no_content() -> None:
    for step, change in enumerate(twelve_changes("here").changes):
        line = dump_entry(intended(step, change), at=AT)
        assert load_entry(line)[1] == intended(step, change)
        assert b"example.com" not in line


def test_the_line_before_a_change_says_what_it_expects_and_what_it_leads_to() -> None:
    create, *_, delete = twelve_changes("here").changes
    assert intended(0, create) == Intended(0, "create", Key("fridge"), None, define(Key("fridge"), {}).digest)
    assert intended(11, delete) == Intended(11, "delete", Key("gone"), define(Key("gone"), {}).digest, None)
