"""What one process takes, from its start to its end.

The kernel counts the memory of whoever starts a process as the process's own until it runs its program. So this module
is also the program that starts it: a small one, whatever the benchmark holds.
"""

import os
import subprocess
import sys
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
    starting = [sys.executable, "-I", "-S", __file__, *command]
    said = subprocess.run(starting, cwd=cwd, env=own, check=True, stdout=subprocess.PIPE, text=True).stdout
    ended, wall, cpu, peak = said.split()
    assert int(ended) == code, f"{' '.join(map(str, command))} ended with {ended}, not {code}"
    return Cost(float(wall), float(cpu), float(peak))


def start_and_tell(command: list[str]) -> None:
    """Run it; print its exit code and what it took."""
    nowhere = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=nowhere)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    start_and_tell(sys.argv[1:])
