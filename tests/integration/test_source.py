"""Real files: what cannot be read, and what is found in what can."""

import os
from pathlib import Path

import pytest

from reconciler.config.file import MAX_BYTES, read


def code_of(path: Path) -> str:
    (problem,) = read(path, name="file.yaml").diagnostics
    assert problem.place[0] == "file.yaml"
    return problem.code


def test_a_file_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("a: 1\na: 2\n")
    source = read(path, name="device-types/x.yaml")
    assert [each.place for each in source.diagnostics] == [("device-types/x.yaml", 2, 1)]
    assert [document.value for document in source.documents] == [{"a": 1}]


def test_a_missing_file(tmp_path: Path) -> None:
    assert code_of(tmp_path / "nothing") == "file-not-found"


def test_a_folder(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "file-unreadable"


@pytest.mark.parametrize("link", ["loop"])
def test_a_link_that_leads_to_itself(tmp_path: Path, link: str) -> None:
    (tmp_path / link).symlink_to(tmp_path / link)
    assert code_of(tmp_path / link) == "file-unreadable"


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    assert code_of(tmp_path / ("x" * 300)) == "file-unreadable"


def test_a_pipe_is_no_file_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "pipe") == "file-unreadable"


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text("a: 1\n#" + "x" * (MAX_BYTES - 6))
    assert [document.value for document in read(path, name="x").documents] == [{"a": 1}]


def test_a_larger_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text("#" + "x" * MAX_BYTES)
    assert code_of(path) == "file-too-large"


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"a: \xff\n", 1, 4),
        ("é: 1\nb: caf\u00e9\n".encode("latin-1"), 1, 1),
        ("é: 1\nb: caf".encode() + b"\xe9\n", 2, 7),
        (b"a: 1\nb: \xe2\x82", 2, 4),
        ("a: 1\n".encode("utf-16"), 1, 1),
        (b"\xef\xbb\xbfa: \xff\n", 1, 4),
        (b"a: \xed\xa0\x80\n", 1, 4),
    ],
)
def test_other_encodings(tmp_path: Path, data: bytes, line: int, column: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    (problem,) = read(path, name="file.yaml").diagnostics
    assert (problem.code, problem.place) == ("file-not-utf8", ("file.yaml", line, column))


def test_a_file_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert code_of(path) == "yaml-control-character"
