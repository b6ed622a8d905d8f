"""Files → YAML documents: the way in for everything that is only read.

1. A file is read once, as bytes, up to a limit: nobody's definitions need more.
2. Most files are ordinary, and read line by line (`config.ordinary`). Only one that is not, or that a message needs a
   place in, is composed (`config.source`), and only then PyYAML is imported.
3. What cannot be read is a diagnostic that names the file.
"""

import gc
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Final

from reconciler.config.codes import diagnostic
from reconciler.config.ordinary import offsets, read_ordinary
from reconciler.config.place import Document, Marks, Source, SourceText

__all__ = ["MAX_BYTES", "collector_paused", "read", "text_of"]

MAX_BYTES: Final = 4 * 1024 * 1024


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps the cyclic collector off while much is built that stays: it would rescan it all, for half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # What was built counts as old, instead of being scanned at once: 0.3 s for 10,000 callbacks.
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def read(path: Path, *, name: str) -> Source:
    """The documents of a file that people know as `name`."""
    text = text_of(path, name=name)
    return text if isinstance(text, Source) else _ordinary(text, name) or _composed(text, name)


def text_of(path: Path, *, name: str) -> str | Source:
    """The text of a file, its byte order mark included; what is wrong with it when it has none that can be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            detail = f"{name} is a folder, a pipe or a device, and a file is needed."
            return Source(diagnostics=(diagnostic("file-unreadable", detail, file=name),))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return _unreadable(error, name)
    if len(data) > MAX_BYTES:
        detail = f"{name} holds more than {MAX_BYTES // 1024 // 1024} MiB. No file of definitions needs that many."
        help = "Split it into several files; `sources` of the project file takes patterns."
        return Source(diagnostics=(diagnostic("file-too-large", detail, help=help, file=name),))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(data, error, name)


def _ordinary(text: str, name: str) -> Source | None:
    """The document of a text that nothing is wrong with; None when it has to be composed to know."""
    source = SourceText(name, text.removeprefix("\ufeff"))
    value = read_ordinary(source.text)
    if value is None:
        return None

    @cache
    def marks() -> Marks:
        (document,) = _composed(text, name).documents
        return document.marks()

    return Source((Document(source, value, marks, partial(offsets, source.text)),))


def _composed(text: str, name: str) -> Source:
    # Imported here: 15 ms, with PyYAML.
    from reconciler.config.source import parse

    return parse(text, name=name)


def _unreadable(error: OSError, name: str) -> Source:
    if isinstance(error, FileNotFoundError):
        return Source(diagnostics=(diagnostic("file-not-found", f"There is no file {name}.", file=name),))
    reason = error.strerror or type(error).__name__
    detail = f"{name} could not be opened: {reason}."
    return Source(diagnostics=(diagnostic("file-unreadable", detail, file=name),))


def _not_utf8(data: bytes, error: UnicodeDecodeError, name: str) -> Source:
    before = data[: error.start].decode()
    rest = data[error.start : error.start + 200].decode("utf-8", "replace")
    source = SourceText(name, (before + rest).removeprefix("\ufeff"))
    start = len(source.text) - len(rest)
    detail = f"Byte {error.start + 1} of the file, 0x{data[error.start]:02x}, does not begin or continue a character."
    help = "Save the file as UTF-8."
    return Source(diagnostics=(diagnostic("file-not-utf8", detail, help=help, span=source.span(start, start + 1)),))
