"""JSON values as sentences mention them: what was given, in a few words and on one line."""

from typing import Final

__all__ = ["MAX_SHOWN", "shown"]

MAX_SHOWN: Final = 40


def shown(value: object) -> str:
    """What a JSON value looks like; nothing that somebody sent makes it long or breaks the line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            fits = len(value) <= MAX_SHOWN and value.isprintable()
            return f"“{value}”" if fits else f"a text of {len(value)} characters"
        case _:
            return str(value)[:MAX_SHOWN]
