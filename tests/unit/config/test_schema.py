"""Faults of a document's shape: one message each, with the place that later checks leave out."""

import pytest

from reconciler.config.document import DeviceTypeDocument
from reconciler.config.schema import validate
from reconciler.config.source import parse

HEAD = "apiVersion: reconciler/v1\nkind: DeviceType\nname: tracker\n"


def faults_of(text: str) -> list[tuple[str, tuple[str | int, ...]]]:
    (document,) = parse(text, name="file").documents
    model, faults = validate("DeviceType", document)
    assert (model is None) == bool(faults)
    return sorted((fault.diagnostic.code, fault.steps) for fault in faults)


def test_a_sound_document_is_its_class() -> None:
    (document,) = parse(HEAD, name="file").documents
    model, faults = validate("DeviceType", document)
    assert isinstance(model, DeviceTypeDocument)
    assert faults == ()


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (HEAD + "nam: x\n", [("unknown-key", ("nam",))]),
        (HEAD.replace("name: tracker\n", ""), [("missing-key", ())]),
        (HEAD + "callbacks: {a: {}}\n", [("missing-key", ("callbacks", "a"))]),
        (HEAD + "callbacks: {a: {channel: url}}\n", [("missing-key", ("callbacks", "a"))] * 2),
        (HEAD + "callbacks: [1]\n", [("wrong-type", ("callbacks",))]),
        (
            HEAD + "callbacks: {a: {channel: email, type: error, recipient: x, body: y}}\n",
            [("field-not-of-channel", ("callbacks", "a", "body"))],
        ),
        (HEAD + "callbacks: {a: {channel: web, urll: y}}\n", [("unknown-channel", ("callbacks", "a", "channel"))]),
        (
            HEAD + "keepAlive: 5\ndescription: 5\n",
            [("wrong-format", ("keepAlive",)), ("wrong-type", ("description",))],
        ),
        (HEAD + "moved: [{from: a}, 5]\n", [("missing-key", ("moved", 0)), ("wrong-type", ("moved", 1))]),
        # Rust's and Python's regular expressions differ about a line break at the end: pydantic has the last word.
        (HEAD.replace("tracker", '"tracker\\n"'), [("wrong-value", ("name",))]),
    ],
)
def test_each_fault_has_one_message_and_its_place(text: str, faults: list[tuple[str, tuple[str | int, ...]]]) -> None:
    assert faults_of(text) == faults


@pytest.mark.parametrize(
    ("line", "help"),
    [
        ("descriptoin: x", "Did you mean description?"),
        ("description: 5", "Put it in quotes to make it a text."),
        ("description: true", "Put it in quotes to make it a text."),
        ("description: {device}", "To YAML, braces begin a mapping. Put the text in quotes."),
        ("description: [x]", "To YAML, brackets begin a list. Put the text in quotes if it is meant as one."),
        ("description:", "Give it a value, or take the key away."),
        ("callbacks: {a: {type: error, channel: email, recipient: [a@b, 5]}}", "Put it in quotes to make it a text."),
        ("callbacks: {a: {type: error, channel: email, recipient: []}}", ""),
        ("keepAlive: 90", "Write it with its unit: 2h, 30m, 1800s."),
        ("downlink: {mode: callbak}", "Did you mean callback?"),
        ("zzz: x", ""),
    ],
)
def test_the_sentence_that_mends_it(line: str, help: str) -> None:
    (document,) = parse(f"{HEAD}{line}\n", name="file").documents
    (fault,) = validate("DeviceType", document)[1]
    assert fault.diagnostic.help == help


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("description: 5", "description takes a text, and the number 5 stands here."),
        ("description: ", "description takes a text, and nothing stands here."),
        ("description: [x]", "description takes a text, and a list stands here."),
        ("description: true", "description takes a text, and true stands here."),
        ("keepAlive: soon", "keepAlive takes a duration such as 2h or 30m, and “soon” stands here."),
        ('keepAlive: ""', "keepAlive takes a duration such as 2h or 30m, and an empty text stands here."),
        (
            "callbacks: {a: {type: error, channel: email, recipient: []}}",
            "recipient takes a list that is not empty, and an empty list stands here.",
        ),
        (
            "callbacks: {a: {type: error, channel: email, recipient: [a@b, 5]}}",
            "Item 2 of recipient takes a text, and the number 5 stands here.",
        ),
        ("moved: {}", "moved takes a list, and a mapping stands here."),
        ("moved: [1]", "Item 1 of moved takes a mapping, and the number 1 stands here."),
    ],
)
def test_what_was_expected_and_what_was_found(line: str, words: str) -> None:
    (document,) = parse(f"{HEAD}{line}\n", name="file").documents
    (fault,) = validate("DeviceType", document)[1]
    assert fault.diagnostic.detail == words
