"""`--help` and `--version` stay quick: what they may not import is what takes time."""

import subprocess
import sys

import pytest

from reconciler import __version__
from reconciler.cli.main import app
from tests.journeys.processes import environment

HEAVY = (
    "asyncio",
    "deepdiff",
    "httptools",
    "httpx",
    "jsonschema",
    "orjson",
    "pydantic",
    "rich",
    "ruamel",
    "sqlite3",
    "starlette",
    "uvicorn",
    "uvloop",
    "yaml",
)
VERBS = (
    ("init",),
    ("validate",),
    ("test",),
    ("render",),
    ("decode",),
    ("schema",),
    ("plan",),
    ("apply",),
    ("drift",),
    ("history",),
    ("rollback",),
    ("engine",),
    ("engine", "serve"),
    ("engine", "token"),
    ("deliveries",),
    ("deliveries", "list"),
    ("deliveries", "show"),
    ("deliveries", "tail"),
    ("deliveries", "replay"),
    ("explain",),
    ("demo",),
)


def imported_by(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that are loaded when it ends."""
    program = (
        "import sys\n"
        "from reconciler.__main__ import main\n"
        f"sys.argv = ['reconciler', *{arguments!r}]\n"
        "code = main()\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    return ended.stdout, set(ended.stderr.split())


def test_version_imports_nothing_but_the_name_of_the_package() -> None:
    out, modules = imported_by("--version")
    assert out == f"reconciler {__version__}\n"
    assert not {"typer", "reconciler.cli", *HEAVY} & modules


def test_help_imports_nothing_heavy_and_lists_every_verb() -> None:
    out, modules = imported_by("--help")
    assert not modules & set(HEAVY)
    assert all(f"\n  {verb[0]} " in out for verb in VERBS)


def test_help_of_a_verb_imports_nothing_heavy() -> None:
    for verb in (("plan",), ("engine", "serve"), ("deliveries", "list")):
        out, modules = imported_by(*verb, "--help")
        assert f"Usage: reconciler {' '.join(verb)}" in out
        assert not modules & (set(HEAVY) - {"pydantic"}), "typer itself reads the options of a verb with pydantic"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_takes_the_options_that_all_have(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app([*verb, "--help"], prog_name="reconciler")
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"Usage: reconciler {' '.join(verb)}" in out
    if verb not in (("engine",), ("deliveries",)):
        assert "--quiet" in out
        assert "--verbose" in out


def test_help_is_shown_without_arguments_and_that_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app([], prog_name="reconciler")
    assert ended.value.code == 2
    assert "Commands:" in "".join(capsys.readouterr())
