"""The doors of an engine as a process: TLS, tokens and certificates that change, audit log, JSON log, back-pressure."""

import json
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.journeys.conftest import copy_of_example
from tests.journeys.processes import PATIENCE, Engine, engine_process, receiving, run

UPLINK = {"deviceType": "door-sensor", "device": "89C3", "data": "a9013d", "time": 1_700_000_000}


def status(engine: Engine, token: str, *, authorities: Path | None = None, path: str = "/readyz") -> int:
    tls = ssl.create_default_context(cafile=authorities) if authorities else True
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{engine.url}{path}", headers=headers, verify=tls, trust_env=False, timeout=PATIENCE)
    return answer.status_code


def until(condition: Any, *, within: float = PATIENCE) -> float:
    """Wait until something is so; after how long it was."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, "it did not come to be"
        time.sleep(0.02)
    return time.monotonic() - began


def token(file: Path, name: str, scope: str) -> str:
    made = run("engine", "token", "--token-file", file, "--name", name, "--scope", scope)
    assert made.code == 0
    return made.out.strip()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_tokens_that_change_count_within_a_second_and_are_audited(tmp_path: Path) -> None:
    file, audit = tmp_path / "tokens", tmp_path / "audit.log"
    first = token(file, "first", "read,apply,ingest")
    options = ("--token-file", str(file), "--audit-log", str(audit), "--log-format", "json")
    with engine_process(tmp_path / "data", *options, token=first) as engine:
        second = token(file, "second", "read")
        added = until(lambda: status(engine, second) == 200)
        file.write_text("".join(line for line in file.read_text().splitlines(True) if "name=second" not in line))
        removed = until(lambda: status(engine, second) in (401, 429))
        with file.open("a") as opened:
            opened.write("sha256:nonsense\n")
        engine.process.send_signal(signal.SIGHUP)
        engine.wait_for('{"at"')  # the line that is no token is told, and the others go on
        assert status(engine, first) == 200

        assert max(added, removed) < 10, "a second is promised; a busy machine gets ten times as long"
        told = lines(audit)
        events = [(line["event"], line.get("added"), line.get("removed")) for line in told]
        assert ("audit.tokens", "second(read)", "") in events
        assert ("audit.tokens", "", "second(read)") in events
        assert not any(secret in audit.read_text() for secret in (first, second))
    (bad,) = [json.loads(line) for line in engine.log if "tokens.bad-line" in line]
    assert (bad["level"], "nonsense" in bad["reason"]) == ("ERROR", False)


def test_an_audit_log_holds_who_published_and_who_was_refused(tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    options = ("--audit-log", str(audit), "--allow-egress", "private")
    with receiving() as receiver, engine_process(tmp_path / "data", *options) as engine:
        project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
        assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
        assert status(engine, "rk_wrong") == 401
    published, refused = [line for line in lines(audit) if line["event"] != "audit.tokens"]

    assert (published["event"], published["token"], published["peer"]) == ("audit.published", "first", "127.0.0.1")
    assert (published["revision"], published["via"], len(published["plan"])) == (1, "apply", 32)
    assert published["changes_create"] > 3
    assert (refused["event"], refused["reason"], refused["door"]) == (
        "audit.login-refused",
        "unknown-token",
        "/readyz",
    )
    assert receiver.url not in audit.read_text()


# TLS


@contextmanager
def authority(folder: Path) -> Iterator[tuple[trustme.CA, Path, Path, Path]]:
    ca = trustme.CA()
    trusted, certificate, key = folder / "ca.pem", folder / "doors.pem", folder / "doors.key"
    ca.cert_pem.write_to_path(str(trusted))
    write(ca, certificate, key)
    yield ca, trusted, certificate, key


def write(ca: trustme.CA, certificate: Path, key: Path) -> None:
    issued = ca.issue_cert("127.0.0.1")
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())


def serial(engine: Engine, trusted: Path) -> object:
    port = httpx.URL(engine.url).port
    return ssl.get_server_certificate(("127.0.0.1", port or 0), ca_certs=str(trusted))


def test_our_own_clients_come_in_by_tls_with_an_authority_of_the_environment(tmp_path: Path) -> None:
    with authority(tmp_path) as (ca, trusted, certificate, key):
        options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--allow-egress", "private")
        with receiving() as receiver, engine_process(tmp_path / "data", *options) as engine:
            assert engine.url.startswith("https://")
            assert any("tls.key-open" in line for line in engine.log), "trustme's key can be read by others"
            project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
            trusting = {**engine.env, "RECONCILER_CA_FILE": str(trusted)}
            for verb in (("plan", "-e", "dev"), ("apply", "-e", "dev", "--yes"), ("deliveries", "list", "-e", "dev")):
                assert run(*verb, cwd=project, env=trusting).code == 0
            untrusting = {**engine.env, "RECONCILER_CA_FILE": str(certificate)}
            for asked in (
                ("plan", "-e", "dev"),
                ("apply", "-e", "dev", "--yes"),
                ("import", "-e", "dev", "-o", tmp_path / "imported"),
                ("history", "-e", "dev"),
                ("deliveries", "list"),
            ):
                assert run(*asked, "--ca-file", trusted, cwd=project, env=untrusting).code in (0, 1), asked
                refused = run(*asked, cwd=project, env=engine.env)
                assert refused.code == 4, asked
                assert "can not be trusted: its certificate was refused" in refused.err
                assert "\n    --ca-file FILE\n" in refused.err
            file = project / "device-types" / "door-sensor.yaml"
            file.write_text(file.read_text().replace("?", "?more=1&", 1))
            planned = run(
                "plan", "-e", "dev", "--ca-file", trusted, "--format", "markdown", cwd=project, env=engine.env
            )
            assert f"reconciler apply --ca-file {trusted} -e dev" in planned.out
            unread = run("plan", "-e", "dev", cwd=project, env={**trusting, "RECONCILER_CA_FILE": str(key) + "x"})
            assert (unread.code, "can not be read" in unread.err) == (4, True)

            before = serial(engine, trusted)
            write(ca, certificate, key)
            until(lambda: serial(engine, trusted) != before)
            assert status(engine, engine.token, authorities=trusted) == 200


@pytest.mark.parametrize(
    ("options", "code", "slug"),
    [
        (("--tls-cert", "doors.pem"), 2, "tls-incomplete"),
        (("--tls-key", "doors.key"), 2, "tls-incomplete"),
        (("--tls-cert", "doors.pem", "--tls-key", "missing.key"), 4, "tls-bad-certificate"),
        (("--tls-cert", "doors.key", "--tls-key", "doors.key"), 4, "tls-bad-certificate"),
        (("--min-free", "1.5G"), 2, "size-bad"),
        (("--max-pending", "0"), 2, "max-pending"),
        (("--audit-log", "missing/audit.log"), 4, "audit log"),
    ],
)
def test_what_the_doors_can_not_be_opened_with(tmp_path: Path, options: tuple[str, ...], code: int, slug: str) -> None:
    with authority(tmp_path):
        ended = run("engine", "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", *options, cwd=tmp_path)
    assert (ended.code, slug in ended.err) == (code, True), ended.err


# Back-pressure


def test_a_disk_that_is_almost_full_refuses_messages_and_takes_them_again_after(tmp_path: Path) -> None:
    with engine_process(tmp_path / "data", "--min-free", "1000TiB") as engine:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            engine.post(UPLINK)
        assert refused.value.response.status_code == 503
        assert refused.value.response.json()["code"] == "disk-almost-full"
        assert refused.value.response.headers["retry-after"] == "30"
        assert status(engine, engine.token, path="/v1/revisions") == 200
    assert any("room.full" in line for line in engine.log)
    with engine_process(tmp_path / "data", "--min-free", "1MiB", token=engine.token) as engine:
        assert engine.post(UPLINK)["accepted"] == 1


def test_metrics_tell_how_often_deliveries_found_a_connection(tmp_path: Path) -> None:
    with receiving() as receiver, engine_process(tmp_path / "data", "--allow-egress", "private") as engine:
        project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
        assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
        for number in range(5):
            engine.post({**UPLINK, "time": UPLINK["time"] + number})  # type: ignore[operator]
            receiver.take(1)
        headers = {"Authorization": f"Bearer {engine.token}"}
        text = httpx.get(f"{engine.url}/metrics", headers=headers, trust_env=False).text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    assert int(found['reconciler_attempt_connections_total{from="opened"}']) >= 1
    assert int(found['reconciler_attempt_connections_total{from="reused"}']) >= 3
    assert found["reconciler_revision"] == "1"


def test_explain_knows_an_event_as_soon_as_it_is_acknowledged(tmp_path: Path) -> None:
    with receiving() as receiver, engine_process(tmp_path / "data", "--allow-egress", "private") as engine:
        project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
        assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
        (message,) = engine.post(UPLINK)["ids"]
        began = time.monotonic()
        callbacks = engine.ask("GET", f"/v1/messages/{message}")["callbacks"]
        assert callbacks
        receiver.take(1)

        def state() -> str:
            told = engine.ask("GET", f"/v1/messages/{message}")["callbacks"]
            return str(told[0]["deliveries"][0]["state"])

        until(lambda: state() == "delivered", within=10)
        assert time.monotonic() - began < 10, "a second is promised; a busy machine gets ten times as long"
