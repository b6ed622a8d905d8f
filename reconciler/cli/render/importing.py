"""What an import wrote → text and JSON, and what is left to say about it."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.cli.render.text import Paint, indent, plural, visible
from reconciler.config.export import Export, ExportedFile
from reconciler.model.resource import Key

__all__ = ["import_as_json", "import_as_text", "remarks"]

_NAMED: Final = 10
"""How many definitions of a file or a remark are named; the JSON has them all."""


def import_as_text(exported: Export, *, location: str, paint: Paint) -> str:
    """A block for each file that was written, with the definitions that it was written for."""
    if not exported.files:
        return f"{paint.good('Nothing to import')}: the files say what {visible(location)} holds.\n"
    blocks = ["\n".join(_block(file, paint)) for file in exported.files]
    count = plural(sum(len(file.keys) for file in exported.files), "definition")
    return "\n".join([*blocks, f"\nImported {count} into {plural(len(exported.files), 'file')}.\n"])


def import_as_json(exported: Export, *, revision: int | None) -> str:
    """One object: the files that were written, what was left, and the revision that took ownership over."""
    document = {
        "files": [
            {"file": file.path.as_posix(), "new": file.before is None, "definitions": [str(key) for key in file.keys]}
            for file in exported.files
        ],
        "left": [str(key) for key in exported.left],
        "missing": [str(key) for key in exported.missing],
        "revision": revision,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def remarks(exported: Export, *, environment: str) -> str:
    """What the next plan will do all the same; empty when it will do nothing."""
    said = []
    if exported.left:
        said += [
            f"Not imported, since moved or removed in the files speak of {_them(exported.left)}; the next plan renames "
            "or deletes:",
            *indent(_names(exported.left), by=4),
        ]
    if exported.missing:
        said += [
            f"Declared by the files and not at the target; the next plan creates {_them(exported.missing)}:",
            *indent(_names(exported.missing), by=4),
        ]
    if said:
        said += ["", f"    reconciler plan -e {environment}"]
    return "\n".join(said)


def _block(file: ExportedFile, paint: Paint) -> Iterator[str]:
    sign = paint.good("+ new") if file.before is None else paint.changed("~ changed")
    yield f"{sign}  {paint.strong(visible(file.path.as_posix()))}"
    yield from indent(_names(file.keys), by=4)


def _names(keys: Sequence[Key]) -> Iterator[str]:
    yield from (visible(str(key)) for key in keys[:_NAMED])
    if len(keys) > _NAMED:
        yield f"and {len(keys) - _NAMED:,} more"


def _them(keys: Sequence[Key]) -> str:
    return "it" if len(keys) == 1 else "them"
