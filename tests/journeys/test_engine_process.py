"""The engine as a process: how it starts, stops, is killed, and refuses to start."""

import itertools
import resource
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import SECRETS, copy_of_example
from tests.journeys.processes import PATIENCE, Engine, Receiver, engine_process, receiving, run

UPLINK = {"deviceType": "door-sensor", "device": "89C3", "data": "a9013d"}


def apply_example(folder: Path, engine: Engine, receiver: Receiver) -> None:
    project = copy_of_example(folder, engine=engine.url, receiver=receiver.url)
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0


def test_killed_and_started_again_it_has_lost_nothing(tmp_path: Path) -> None:
    """What was acknowledged is delivered by the next process, though the first one had no chance to say goodbye."""
    data = tmp_path / "data"
    with receiving(hold=True) as receiver:
        with engine_process(data, "--allow-egress", "private", env=SECRETS) as engine:
            apply_example(tmp_path, engine, receiver)
            answer = engine.post(*({**UPLINK, "time": 1_700_000_000 + n} for n in range(40)))
            assert answer["accepted"] == 40
            receiver.requests.get(timeout=PATIENCE)  # an attempt is in flight
            assert engine.stop(signal.SIGKILL) == -signal.SIGKILL
        receiver.held.set()
        with engine_process(data, "--allow-egress", "private", env=SECRETS, token=engine.token) as again:
            assert len(receiver.take_distinct(40)) == 40
            assert again.ask("GET", "/v1/revisions/current")["number"] == 1


def test_told_to_stop_it_ends_what_is_in_flight_and_keeps_the_rest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with receiving(hold=True) as receiver:
        with engine_process(data, "--allow-egress", "private", env=SECRETS) as engine:
            apply_example(tmp_path, engine, receiver)
            (message,) = engine.post({**UPLINK, "time": 1_700_000_000})["ids"]
            receiver.requests.get(timeout=PATIENCE)
            engine.process.send_signal(signal.SIGTERM)
            engine.wait_for("Stopping.")
            receiver.held.set()
            assert engine.process.wait(PATIENCE) == 0
        assert "Stopping. 1 attempt in flight may take up to 10 s.\n" in engine.log
        assert engine.log[-1] == "Stopped.\n"
        with engine_process(data, "--allow-egress", "private", env=SECRETS, token=engine.token) as again:
            callbacks = again.ask("GET", f"/v1/messages/{message}")["callbacks"]
            (delivery,) = (delivery for each in callbacks for delivery in each["deliveries"])
            assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)


def test_told_twice_it_ends_at_once_and_has_lost_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with receiving(hold=True) as receiver:
        with engine_process(data, "--allow-egress", "private", env=SECRETS) as engine:
            apply_example(tmp_path, engine, receiver)
            engine.post({**UPLINK, "time": 1_700_000_000})
            first = receiver.requests.get(timeout=PATIENCE)
            engine.process.send_signal(signal.SIGTERM)
            engine.wait_for("Stopping.")
            assert engine.stop() == -signal.SIGTERM
        receiver.held.set()
        with engine_process(data, "--allow-egress", "private", env=SECRETS, token=engine.token):
            assert receiver.take_distinct(1) == {first.body}


def test_interrupted_by_the_keyboard_it_stops_in_good_order(tmp_path: Path) -> None:
    with engine_process(tmp_path / "data") as engine:
        assert engine.stop(signal.SIGINT) == 0
    assert engine.log[-2:] == ["Stopping.\n", "Stopped.\n"]


def test_the_first_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with engine_process(data) as engine:
        pass
    tokens = data / "tokens"
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    assert engine.token not in tokens.read_text()
    assert (data / ".gitignore").read_text() == "*\n"
    with engine_process(data, token=engine.token) as again:
        assert again.ask("GET", "/readyz")["status"] == "ready"
        assert "RECONCILER_TOKEN" not in "".join(again.log)


def test_tokens_open_the_doors_of_their_scopes_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    made = run("engine", "token", "--token-file", file, "--name", "gateway", "--scope", "ingest")
    assert made.code == 0
    token = made.out.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert file.read_text().endswith(" scopes=ingest name=gateway\n")

    with engine_process(tmp_path / "data", "--token-file", str(file), token=token) as engine:
        assert engine.post({**UPLINK, "time": 1})["warnings"][0]["code"] == "unknown-device-type"
        refused = run("deliveries", "list", env=engine.env)
        assert refused.code == 4
        assert "“read”" in refused.err


@pytest.mark.parametrize(
    ("name", "scope", "code", "says"),
    [
        ("gateway", "ingest", 1, "token-name-refused"),
        ("two words", "ingest", 1, "token-name-refused"),
        ("other", "write", 2, "read, apply, ingest"),
        ("other", "", 2, "read, apply, ingest"),
    ],
)
def test_a_token_that_can_not_be_made_changes_nothing(
    tmp_path: Path, name: str, scope: str, code: int, says: str
) -> None:
    file = tmp_path / "tokens"
    run("engine", "token", "--token-file", file, "--name", "gateway", "--scope", "read")
    before = file.read_text()
    refused = run("engine", "token", "--token-file", file, "--name", name, "--scope", scope)
    assert (refused.code, refused.out) == (code, "")
    assert says in refused.err
    assert file.read_text() == before


def test_a_file_without_a_last_line_break_takes_another_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# ours")
    assert run("engine", "token", "--token-file", file, "--name", "a", "--scope", "read").code == 0
    assert [line.partition(" ")[0][:7] for line in file.read_text().splitlines()] == ["#", "sha256:"]


def test_when_nothing_can_be_written_it_says_so_and_goes_on_by_itself(tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk is: writes fail, and later they do not."""
    data = tmp_path / "data"
    uplinks = ({**UPLINK, "time": 1_700_000_000 + number} for number in itertools.count())
    with receiving() as receiver, engine_process(data, "--allow-egress", "private", env=SECRETS) as engine:
        apply_example(tmp_path, engine, receiver)
        kept = engine.post(*itertools.islice(uplinks, 10))["ids"]
        receiver.take_distinct(10)
        _, most = resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (0, most))
        for _ in range(3):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                engine.post(next(uplinks))
            assert refused.value.response.status_code == 503
            assert int(refused.value.response.headers["Retry-After"]) > 0
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (most, most))
        kept += engine.post(*itertools.islice(uplinks, 10))["ids"]
        assert len(receiver.take_distinct(10)) == 10
        assert len({engine.ask("GET", f"/v1/messages/{message}")["message"]["time"] for message in kept}) == 20
    assert run("engine", "check", "--data", data).code == 0


# What keeps it from starting


def serve(*options: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    ended = run("engine", "serve", *options, env=env)
    assert ended.out == ""
    return ended.code, ended.err


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, said = serve("--data", tmp_path / "data", "--listen", address)
    assert code == 4
    assert "error[listen-port-in-use]" in said
    assert address in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("listen", "code", "slug"),
    [
        ("8460", 2, "listen-bad-address"),
        ("127.0.0.1:99999", 2, "listen-bad-port"),
        ("192.0.2.1:8460", 2, "listen-without-tokens"),
        ("0.0.0.0:0", 2, "listen-without-tokens"),
        ("[::]:0", 2, "listen-without-tokens"),
    ],
)
def test_an_address_that_can_not_be_listened_on(tmp_path: Path, listen: str, code: int, slug: str) -> None:
    ended, said = serve("--data", tmp_path / "data", "--listen", listen)
    assert ended == code
    assert f"error[{slug}]" in said


def test_beyond_loopback_an_empty_token_file_is_no_token_file(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# none yet\n")
    code, said = serve("--data", tmp_path / "data", "--listen", "0.0.0.0:0", "--token-file", tmp_path / "tokens")
    assert code == 2
    assert "error[listen-without-tokens]" in said


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    run("engine", "token", "--token-file", tmp_path / "tokens", "--name", "a", "--scope", "read")
    code, said = serve(
        *("--data", tmp_path / "data", "--listen", "192.0.2.1:8460", "--token-file", tmp_path / "tokens")
    )
    assert code == 4
    assert "error[listen-address-not-available]" in said


def test_a_store_that_another_engine_has_open(tmp_path: Path) -> None:
    with engine_process(tmp_path / "data") as engine:
        code, said = serve("--data", tmp_path / "data", "--listen", "127.0.0.1:0")
        assert code == 4
        assert f"in use by another engine (process {engine.process.pid})" in said


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    code, said = serve("--data", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert code == 4
    assert said.startswith("error: ")


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/store.sqlite3").write_text(
        "This is not a database, though it is long enough to look like one.\n" * 99
    )
    code, said = serve("--data", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert code == 4
    assert said.startswith("error: ")
    assert "file is not a database" in said


def test_a_data_directory_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = serve("--data", tmp_path / "file" / "data", "--listen", "127.0.0.1:0")
    assert code == 4
    assert "Not a directory" in said


def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for file in ("ca.pem", "missing.pem"):
        code, said = serve("--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--ca-file", tmp_path / file)
        assert code == 4
        assert f"the authorities in {tmp_path / file} can not be read" in said


def test_a_token_file_with_a_token_in_clear_is_refused_without_showing_it(tmp_path: Path) -> None:
    clear = run("engine", "token", "--token-file", tmp_path / "t", "--name", "a", "--scope", "read").out.strip()
    (tmp_path / "tokens").write_text(f"\n{clear} scopes=read name=a\n")
    code, said = serve(*("--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--token-file", tmp_path / "tokens"))
    assert code == 1
    assert "error[token-file-line]" in said
    assert "Line 2" in said
    assert clear not in said


def test_egress_that_names_no_network(tmp_path: Path) -> None:
    code, said = serve("--data", tmp_path / "data", "--allow-egress", "10.1.2.3/16")
    assert code == 2
    assert "error[egress-bad-network]" in said


def test_options_also_come_from_the_environment(tmp_path: Path) -> None:
    env = {"RECONCILER_DATA": str(tmp_path / "data"), "RECONCILER_ALLOW_EGRESS": "10.1.2.3/16"}
    code, said = serve(env=env)
    assert code == 2
    assert "error[egress-bad-network]" in said


def test_deliveries_to_this_machine_are_refused_unless_allowed(tmp_path: Path) -> None:
    with receiving() as receiver, engine_process(tmp_path / "data", env=SECRETS) as engine:
        apply_example(tmp_path, engine, receiver)
        with engine.following() as attempts:
            engine.post({**UPLINK, "time": 1_700_000_000})
            (attempt,) = next(attempts)["log"]
        assert (attempt["outcome"], attempt["reason"]) == ("unreachable", "forbidden-address")
        assert receiver.requests.empty()
