"""What one process takes, from its start to its end."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "cost_of"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall and of the process's own CPU, and the most megabytes that it had resident."""

    wall: float
    cpu: float
    peak_mb: float


def cost_of(command: Sequence[str | Path], *, cwd: Path, code: int = 0, env: Mapping[str, str]) -> Cost:
    """Run it once, its output thrown away; it must end with `code`. `env` is added to the environment."""
    # Installed programs have their bytecode beside them; some environments forbid a checkout to have it.
    own = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **env}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code, f"{' '.join(map(str, command))} ended with {process.returncode}, not {code}"
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
