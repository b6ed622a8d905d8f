"""A signed callback from its file to a receiver that verifies it, and back into files; its keys are nowhere."""

from base64 import b64encode
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.journeys.processes import engine_process, receiving, run

MARK = bytes(range(60, 84))
NEW, OLD = ("whsec_" + b64encode(MARK + bytes((number,) * 8)).decode() for number in (1, 2))
SECRETS = {"RECONCILER_SECRET_NEW_KEY": NEW, "RECONCILER_SECRET_OLD_KEY": OLD}
PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: signed
sources: [device-types/*.yaml]
environments:
  dev:
    target: {{engine: "{engine}", token: {{env: RECONCILER_TOKEN}}}}
"""
DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    url: "{receiver}/uplink"
    signature: ["${{secret.NEW_KEY}}", "${{secret.OLD_KEY}}"]
    contentType: application/json
    body: '{{"device": "{{device}}"}}'
"""


def holds_a_key(data: bytes) -> bool:
    return MARK in data or any(each.removeprefix("whsec_")[:32].encode() in data for each in (NEW, OLD))


def test_from_the_file_to_the_receiver_and_back(tmp_path: Path) -> None:
    data, project, fresh = tmp_path / "data", tmp_path / "project", tmp_path / "fresh"
    serve = ("-v", "--allow-egress", "private")
    said: list[str] = []
    with receiving() as receiver, engine_process(data, *serve, env=SECRETS) as engine:
        for folder in (project, fresh):
            folder.mkdir()
            (folder / "reconciler.yaml").write_text(PROJECT.format(engine=engine.url))
        (project / "device-types").mkdir()
        (project / "device-types/tracker.yaml").write_text(DEVICE_TYPE.format(receiver=receiver.url))
        env = {**engine.env, **SECRETS}

        def verb(*arguments: str, folder: Path = project, code: int = 0) -> str:
            done = run(*arguments, cwd=folder, env=env)
            assert done.code == code, done.err
            said.append(done.out + done.err)
            return done.out

        receiver.answers["/uplink"] = [500]
        receiver.bodies["/uplink"] = f"your key is {NEW}, or {OLD}".encode()
        message = '{"device": "1C178", "time": 1700000000, "seqNumber": 7}'
        shown = verb("render", "tracker/telemetry", "--message", message)
        assert "webhook-signature: v1,***(${secret.NEW_KEY}) v1,***(${secret.OLD_KEY})" in shown
        verb("plan", "-e", "dev", "-o", "first.plan")
        verb("apply", "first.plan", "--yes")
        engine.post({"device": "1C178", "deviceType": "tracker", "time": 1_700_000_000, "seqNumber": 7})
        (request,) = receiver.take(1)
        (delivery,) = engine.ask("GET", "/v1/deliveries")["deliveries"]
        assert request.headers["webhook-id"] == delivery["id"].replace(".", "-")
        for key in (NEW, OLD):
            assert Webhook(key).verify(request.body, dict(request.headers)) == {"device": "1C178"}
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(request.body.replace("1C178", "1C179"), dict(request.headers))

        while not engine.ask("GET", f"/v1/deliveries/{delivery['id']}")["attempts"]:
            pass
        engine.post({"device": "1C178", "deviceType": "tracker", "time": 1_700_000_060, "seqNumber": 8})
        (second,) = receiver.take(1)
        assert Webhook(NEW).verify(second.body, dict(second.headers)) == {"device": "1C178"}
        with engine.following() as attempts:
            engine.post({"device": "1C178", "deviceType": "tracker", "time": 1_700_000_120, "seqNumber": 9})
            said.append(str(next(attempts)))

        verb("import", "-e", "dev", folder=fresh)
        (written,) = (fresh / "device-types").glob("*.yaml")
        assert "signature: ${secret.NEW_KEY}, ${secret.OLD_KEY}" in written.read_text().replace('"', "")
        assert verb("plan", "-e", "dev", "--check", folder=fresh).startswith("Nothing to change")
        document = project / "device-types/tracker.yaml"
        document.write_text(document.read_text().replace(', "${secret.OLD_KEY}"', ""))
        assert "signature" in verb("plan", "-e", "dev", "--check", "-o", "second.plan", code=3)
        said += [str(engine.ask("GET", f"/v1/deliveries/{each}.0")) for each in {delivery["messageId"]}]
        said.append(verb("deliveries", "show", delivery["id"], "-e", "dev"))
        files = {
            path: path.read_bytes() for folder in (data, project, fresh) for path in folder.rglob("*") if path.is_file()
        }
        assert [str(path) for path, held in files.items() if holds_a_key(held)] == []
    assert [text for text in (*said, *engine.log) if holds_a_key(text.encode())] == []
    assert holds_a_key(f"the search finds {NEW}".encode())
    after = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert [str(path) for path, held in after.items() if holds_a_key(held)] == []
    assert any(b"${secret.NEW_KEY}" in held for held in after.values()), "what was answered is kept, without the key"
