"""Watching an engine as those do who are called at night: metrics that a parser reads, and `explain` at once."""

import os
import re
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.processes import PATIENCE, Engine, Receiver, engine_process, receiving, run

UPLINK = {"device": "1C178", "deviceType": "tracker", "time": 1_700_000_000, "data": "e80332c0"}


def publish(engine: Engine, receiver: Receiver) -> None:
    callback = {"type": "data/uplink", "channel": "url", "url": f"{receiver.url}/{{device}}", "method": "GET"}
    changes = [
        {"kind": "create", "key": "tracker", "after": {}},
        {"kind": "create", "key": "tracker/telemetry", "after": callback},
    ]
    body = {"owner": "test", "by": "test", "changes": changes}
    engine.ask("POST", "/v1/revisions", json=body, headers={"If-Match": '"0"'})


def soon(found: Callable[[], Any]) -> Any:
    """What is found as soon as there is something."""
    until = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.002)
    return value


def test_explain_tells_what_became_of_a_message_within_a_second(tmp_path: Path) -> None:
    waited = []
    with receiving() as receiver, engine_process(tmp_path / "data", "--allow-egress", "private") as engine:
        publish(engine, receiver)
        for number in range(1, 11):
            receiver.answers["/1C178"] = [503] if number % 2 else []
            (message,) = engine.post({**UPLINK, "seqNumber": number})["ids"]
            receiver.requests.get(timeout=PATIENCE)
            seen = time.monotonic()

            def attempted(message: str = message) -> Any:
                explained = engine.ask("GET", f"/v1/messages/{message}")
                (callback,) = explained["callbacks"]
                (delivery,) = callback["deliveries"]
                return explained if delivery["attempts"] else None

            explained = soon(attempted)
            waited.append(time.monotonic() - seen)
            (callback,) = explained["callbacks"]
            (delivery,) = callback["deliveries"]
            assert (explained["revision"], callback["callback"]) == (1, "tracker/telemetry")
            assert delivery["state"] == ("pending" if number % 2 else "delivered")
        told = run("explain", message, cwd=tmp_path, env=engine.env)

    assert "tracker/telemetry" in told.out
    assert max(waited) < 10, f"a second is promised; a busy machine gets ten times as long: {waited}"


def families(engine: Engine, **trusting: Any) -> dict[str, Any]:
    """The metrics as a parser of Prometheus's own project reads them."""
    headers = {"Authorization": f"Bearer {engine.token}"}
    answer = httpx.get(f"{engine.url}/metrics", headers=headers, timeout=PATIENCE, trust_env=False, **trusting)
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(family: Any, **labels: str) -> float:
    (sample,) = [each for each in family.samples if labels.items() <= each.labels.items()]
    return float(sample.value)


def test_metrics_are_read_by_a_parser_and_are_named_as_prometheus_names(tmp_path: Path) -> None:
    with receiving(hold=True) as receiver, engine_process(tmp_path / "data", "--allow-egress", "private") as engine:
        publish(engine, receiver)
        engine.post(*({**UPLINK, "seqNumber": number} for number in range(1, 4)))
        receiver.requests.get(timeout=PATIENCE)
        time.sleep(0.3)
        hanging = families(engine)
        receiver.held.set()
        soon(lambda: value(families(engine)["reconciler_deliveries"], state="delivered") == 3)
        after = families(engine)

    endpoint = receiver.url
    assert value(hanging["reconciler_endpoint_oldest_due_seconds"], endpoint=endpoint) >= 0.3, "it is under way"
    assert value(hanging["reconciler_endpoint_pending"], endpoint=endpoint) == 3
    assert after["reconciler_endpoint_oldest_due_seconds"].samples == []
    assert value(after["reconciler_revision"]) == 1
    for name, family in after.items():
        assert re.fullmatch(r"reconciler_[a-z_]*[a-z]", name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert not name.endswith(("_count", "_sum", "_bucket", "_total")), "suffixes are the format's own"
        assert all(re.fullmatch(r"[a-z_]+", label) for each in family.samples for label in each.labels)
        if family.type == "counter":
            assert all(each.name == f"{name}_total" and each.value >= 0 for each in family.samples)


def test_metrics_tell_when_the_certificate_ends_and_that_a_file_could_not_be_read(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "doors.pem", tmp_path / "doors.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    trusting = {"verify": ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))}
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with engine_process(tmp_path / "data", *options) as engine:
        found = families(engine, **trusting)
        assert [each.value for each in found["reconciler_reload_failures"].samples] == [0, 0]
        certificate.write_text("nothing")
        os.kill(engine.process.pid, signal.SIGHUP)
        soon(lambda: value(families(engine, **trusting)["reconciler_reload_failures"], file="certificate"))
        later = families(engine, **trusting)

    (ends,) = found["reconciler_certificate_expiry_timestamp_seconds"].samples
    assert ends.value == ssl.cert_time_to_seconds(not_after(issued, tmp_path))
    assert later["reconciler_certificate_expiry_timestamp_seconds"].samples == [ends], "the last good one is shown"


def not_after(issued: trustme.LeafCert, folder: Path) -> str:
    """As OpenSSL reads it; the way there is one that CPython keeps for its own tests."""
    path = folder / "leaf.pem"
    path.write_bytes(issued.cert_chain_pems[0].bytes())
    decoded: dict[str, str] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return decoded["notAfter"]
