"""Places that hold callbacks."""

import sys

# httpx imports its own command line where rich and click are installed, and falls back where they are not: a third of
# what importing it costs (60 ms and 6 MB), for something that nobody here calls. None stands for a module that is not.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # the stubs know of modules only
