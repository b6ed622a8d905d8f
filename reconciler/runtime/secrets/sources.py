"""Several sources as one."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

__all__ = ["Source", "first_of"]

Source: TypeAlias = Callable[[str], str | None]
"""The value of a secret by its name, None when there is none. May raise `SecretPending` within an event loop."""

# As in `grammar.template`. Names become file names and arguments of programs: none can be a way or an option.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def first_of(sources: Sequence[Source]) -> Source:
    """The value of the first source that has one; a name that no definition can refer to has none."""

    def value(name: str) -> str | None:
        if not _NAME.fullmatch(name):
            return None
        for source in sources:
            found = source(name)
            if found is not None:
                return found
        return None

    return value
