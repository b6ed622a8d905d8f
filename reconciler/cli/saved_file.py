"""A file that is written as a whole: whoever reads it finds the old content or the new one, never a part of either.

1. The new content is written beside the file, brought to the disk, and put in its place in one step.
2. A file that is there keeps nothing, not even its permissions: it is another file from then on.
3. What is no regular file (a pipe, `/dev/stdout`) is written to, since it can not be replaced. A symbolic link stays,
   and the file that it leads to is replaced.
"""

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["save"]


def save(path: Path, content: bytes) -> None:
    """Write the file, readable by its owner alone.

    Raises:
        OSError: it can not be written; what was there is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    place = os.path.realpath(path)
    descriptor, temporary = tempfile.mkstemp(prefix=".reconciler-", dir=os.path.dirname(place))  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
