"""What SQLite does to its files, recorded below it, and what a power failure may leave of them.

`recording` puts itself between SQLite and the file system: the methods of SQLite's own VFS for writing, truncating,
syncing and deleting are replaced by ones that take a note and then call them (sqlite.org/vfs.html). It needs no
compiler and no other build of SQLite: it reaches into the library that Python's `sqlite3` has loaded.

`image` makes what a disk holds when the power fails after any number of these notes:

1. What was synced is there.
2. Of what was not, each write is there, or not, or torn: any of its sectors of 512 bytes may be there without the
   others (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`, which SQLite assumes: bytes beside those that were written stay). A
   truncation is there or not, and so is a deletion until the directory is synced: when it is asked for, and with the
   first sync of a log or journal after it was opened (`UNIXFILE_DIRSYNC` in SQLite's os_unix.c).
3. The shared memory of the log (`-shm`) is gone, as it always is.
"""

import _sqlite3
import ctypes
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Delete", "Note", "Sync", "Truncate", "Write", "image", "recording"]

_SECTOR: Final = 512
# SQLITE_OPEN_MAIN_DB, _MAIN_JOURNAL, _WAL
_MAIN, _LOGS = 0x100, 0x800 | 0x80000


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """`directory`: the names of files were synced too."""

    path: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    directory: bool


Note = Write | Truncate | Sync | Delete

_int, _pointer, _i64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
_XOPEN = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_XDELETE = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int)
_XWRITE = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _i64)
_XTRUNCATE = ctypes.CFUNCTYPE(_int, _pointer, _i64)
_XSYNC = ctypes.CFUNCTYPE(_int, _pointer, _int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", _int),
        ("file_size", _int),
        ("longest_path", _int),
        ("next", _pointer),
        ("name", ctypes.c_char_p),
        ("data", _pointer),
        ("open", _pointer),
        ("delete", _pointer),
        ("others", _pointer * 13),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", _int),
        ("close", _pointer),
        ("read", _pointer),
        ("write", _pointer),
        ("truncate", _pointer),
        ("sync", _pointer),
        ("others", _pointer * 13),
    )


@contextmanager
def recording() -> Iterator[list[Note]]:
    """Note what SQLite does to the files of every connection that is opened meanwhile, in all threads."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    ours = library.sqlite3_vfs_find(None)
    recorder = _Recorder(ours.contents)
    assert library.sqlite3_vfs_register(ctypes.byref(recorder.vfs), 1) == 0
    try:
        yield recorder.notes
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(recorder.vfs))
        assert library.sqlite3_vfs_register(ours, 1) == 0


class _Recorder:
    def __init__(self, original: Any) -> None:
        self.notes: list[Note] = []
        self._original = original
        self._paths: dict[int, str] = {}
        self._fresh: set[int] = set()
        self._methods: dict[int, _Methods] = {}
        self._alive: list[Any] = []  # what C holds pointers to
        self.vfs = _Vfs.from_buffer_copy(original)
        self.vfs.name = b"recording"
        self.vfs.open = self._callback(_XOPEN, self._open)
        self.vfs.delete = self._callback(_XDELETE, self._delete)

    def _callback(self, kind: Any, function: Any) -> Any:
        made = kind(function)
        self._alive.append(made)
        return ctypes.cast(made, _pointer).value

    def _open(self, _: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        result: int = _XOPEN(self._original.open)(ctypes.addressof(self._original), name, file, flags, out_flags)
        if result == 0 and name is not None and flags & (_MAIN | _LOGS):
            self._paths[file] = ctypes.string_at(name).decode()
            self._fresh.discard(file)
            if flags & _LOGS:
                self._fresh.add(file)
            methods = ctypes.cast(file, ctypes.POINTER(_pointer))
            methods[0] = ctypes.addressof(self._recording(methods[0]))
        return result

    def _recording(self, address: int) -> _Methods:
        """A copy of a table of methods with three of our own."""
        made = self._methods.get(address)
        if made is not None:
            return made
        original = _Methods.from_address(address)
        write, truncate, sync = _XWRITE(original.write), _XTRUNCATE(original.truncate), _XSYNC(original.sync)

        def noting_write(file: int, data: int, size: int, offset: int) -> int:
            self.notes.append(Write(self._paths[file], offset, ctypes.string_at(data, size)))
            return int(write(file, data, size, offset))

        def noting_truncate(file: int, size: int) -> int:
            self.notes.append(Truncate(self._paths[file], size))
            return int(truncate(file, size))

        def noting_sync(file: int, flags: int) -> int:
            before = len(self.notes)  # what another thread writes meanwhile may come too late
            result = int(sync(file, flags))
            self.notes.insert(before, Sync(self._paths[file], file in self._fresh))
            self._fresh.discard(file)
            return result

        made = self._methods[address] = _Methods.from_buffer_copy(original)
        made.write = self._callback(_XWRITE, noting_write)
        made.truncate = self._callback(_XTRUNCATE, noting_truncate)
        made.sync = self._callback(_XSYNC, noting_sync)
        return made

    def _delete(self, _: int, name: int, sync_directory: int) -> int:
        self.notes.append(Delete(ctypes.string_at(name).decode(), bool(sync_directory)))
        return int(_XDELETE(self._original.delete)(ctypes.addressof(self._original), name, sync_directory))


def image(notes: Sequence[Note], dice: random.Random) -> Mapping[str, bytes]:
    """What the files hold, by path, after the power failed behind these notes."""
    of_file: defaultdict[str, list[Note]] = defaultdict(list)
    named = max(
        (place for place, note in enumerate(notes) if isinstance(note, Sync | Delete) and note.directory), default=-1
    )
    for place, note in enumerate(notes):
        of_file[note.path].append(Delete(note.path, True) if isinstance(note, Delete) and place <= named else note)
    left: dict[str, bytes] = {}
    # A disk may write nothing, everything, or whatever it likes of what it was not told to sync.
    mood = dice.choice([0.0, 0.5, 0.5, 0.9, 1.0])
    for path, given in of_file.items():
        synced = max((place for place, note in enumerate(given) if _is_synced(note)), default=-1)
        content = _after(given, synced, dice, mood)
        if content is not None:
            left[path] = bytes(content)
    return left


def _is_synced(note: Note) -> bool:
    return isinstance(note, Sync) or (isinstance(note, Delete) and note.directory)


def _after(notes: Sequence[Note], synced: int, dice: random.Random, mood: float) -> bytearray | None:
    content: bytearray | None = None
    for place, note in enumerate(notes):
        certain = place <= synced
        match note:
            case Sync():
                content = bytearray() if content is None else content
            case Write(_, offset, data):
                content = bytearray() if content is None else content
                for start, end in [(0, len(data))] if certain else _sectors(offset, len(data)):
                    if certain or dice.random() < mood:
                        content.extend(bytes(max(0, offset + end - len(content))))
                        content[offset + start : offset + end] = data[start:end]
            case Truncate(_, size):
                if content is not None and (certain or dice.random() < mood):
                    del content[size:]
                    content.extend(bytes(size - len(content)))
            case Delete():
                if certain or dice.random() < mood:
                    content = None
    return content


def _sectors(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a write that a disk writes whole."""
    start = 0
    while start < size:
        end = min(size, start + _SECTOR - (offset + start) % _SECTOR)
        yield start, end
        start = end
