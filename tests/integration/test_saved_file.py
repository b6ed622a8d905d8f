"""A file that is written as a whole or not at all."""

import os
import stat
import threading
from pathlib import Path

import pytest

from reconciler.cli.saved_file import save


def test_the_file_holds_what_was_given_and_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    save(file, b"one")
    assert file.read_bytes() == b"one"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_there_is_replaced_also_behind_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "plan.json", tmp_path / "link.json"
    file.write_bytes(b"an older and longer plan")
    file.chmod(0o644)
    link.symlink_to(file.name)
    save(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "plan.json"], "nothing else stays"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    save(pipe, b"through")
    reader.join(timeout=10)
    assert read == [b"through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["missing/plan.json", "folder", "plan.json/below", "x" * 300])
def test_what_can_not_be_written_is_an_error_and_leaves_everything_as_it_was(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plan.json").write_bytes(b"old")
    with pytest.raises(OSError, match=r"\[Errno"):
        save(tmp_path / name, b"new")
    assert (tmp_path / "plan.json").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "plan.json"]


def test_a_link_that_leads_to_itself_is_replaced_by_the_file(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    save(loop, b"content")
    assert loop.read_bytes() == b"content"
