"""Where wall time enters the engine; everything else is given the time, or this function."""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)
