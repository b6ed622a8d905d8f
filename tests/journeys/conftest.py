"""What journeys share: one engine and one receiver for each module, because starting them is what takes time."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.journeys.processes import Engine, Receiver, Reconciler, Run, engine_process, receiving

SECRETS = {"RECONCILER_SECRET_INGEST_TOKEN": "s3cret-ingest", "RECONCILER_SECRET_FREEZER_KEY": "s3cret-freezer"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_process(tmp_path_factory.mktemp("data"), "--allow-egress", "private", env=SECRETS) as engine:
        yield engine


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: Engine) -> Reconciler:
    """The command line in this process, which is quicker, talking to this module's engine."""

    def in_this_process(*arguments: str | Path, cwd: Path, stdin: str = "") -> Run:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            patched.chdir(cwd)
            for name, value in engine.env.items():
                patched.setenv(name, value)
            code = main.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err, err
        return Run(code, out, err)

    return in_this_process


@pytest.fixture(scope="module")
def cold_chain(tmp_path_factory: pytest.TempPathFactory, engine: Engine, receiver: Receiver) -> Path:
    """A copy of the example whose two addresses lead to this module's engine and receiver."""
    return copy_of_example(tmp_path_factory.mktemp("project"), engine=engine.url, receiver=receiver.url)


def copy_of_example(folder: Path, *, engine: str, receiver: str) -> Path:
    import shutil

    source = Path(__file__).parents[2] / "examples" / "cold-chain"
    project = folder / "cold-chain"
    shutil.copytree(source, project)
    file = project / "reconciler.yaml"
    text = file.read_text()
    file.write_text(text.replace("http://127.0.0.1:8460", engine).replace("http://127.0.0.1:9000", receiver))
    return project
