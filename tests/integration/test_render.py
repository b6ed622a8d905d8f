"""`render`: every channel and every type of message, as the engine would send it."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: cold-chain
sources: [device-types/*.yaml]
environments:
  dev:
    target: {engine: "http://127.0.0.1:9", token: {env: RECONCILER_TOKEN}}
"""
TRACKER = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
keepAlive: 2h
downlink: {mode: callback}
callbacks:
  lines:
    type: data/uplink
    channel: batch-url
    url: "https://ingest.example.com/batch?site=7&data={batch}"
    linePattern: "{device};{data};{rssi};"
  silent:
    type: error
    channel: email
    recipient: [ops@example.com, duty@example.com]
    subject: "{device} is silent"
    message: "{severity}: {info}"
  bidir: {type: data/bidir, channel: url, method: GET, downlinkHook: true, url: "http://h/{device}?ack={ack}"}
  status: {type: service/status, channel: url, method: GET, url: "http://h/{device}?batt={batt}&temp={temp}"}
  geoloc: {type: service/geoloc, channel: url, method: GET, url: "http://h/{device}?at={lat},{lng}&r={radius}"}
  result: {type: service/acknowledge, channel: url, method: GET, url: "http://h/?code={infoCode}&ok={downlinkAck}"}
  repeater: {type: service/repeater, channel: url, method: GET, url: "http://h/?n={repeatedMsg}&w={unwantedMsg}"}
  advanced:
    type: service/data-advanced
    channel: url
    url: "http://h/{device}"
    contentType: application/json
    body: '{"quality": {linkQuality}, "at": {computedLocation}}'
"""


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "reconciler.yaml").write_text(PROJECT)
    (tmp_path / "device-types").mkdir()
    (tmp_path / "device-types/tracker.yaml").write_text(TRACKER)
    monkeypatch.chdir(tmp_path)

    def run(callback: str, message: dict[str, Any], *options: str) -> str:
        given = json.dumps({"device": "1c178", "time": 1_700_000_000, **message})
        code = main.run(("render", f"tracker/{callback}", "--message", given, *options))
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


@pytest.mark.parametrize(
    ("callback", "message", "sent"),
    [
        ("bidir", {"data": "00", "ack": True}, "GET http://h/1C178?ack=true\n"),
        ("status", {"batt": 3.04, "temp": -12.5}, "GET http://h/1C178?batt=3.04&temp=-12.50\n"),
        ("geoloc", {"lat": 52.25, "lng": 5.5, "radius": 100}, "GET http://h/1C178?at=52.25,5.5&r=100\n"),
        ("result", {"infoCode": 0}, "GET http://h/?code=0&ok=true\n"),
        ("repeater", {"repeatedMsg": 12, "unwantedMsg": 3}, "GET http://h/?n=12&w=3\n"),
        (
            "advanced",
            {"data": "00", "linkQuality": 2, "computedLocation": {"lat": 52.25, "lng": 5.5, "radius": 100}},
            "POST http://h/1C178\nContent-Type: application/json\n\n"
            '{"quality": 2, "at": {"lat":52.25,"lng":5.5,"radius":100}}\n',
        ),
    ],
)
def test_the_type_of_a_message_is_the_callbacks_unless_it_says_so(
    render: Any, callback: str, message: dict[str, Any], sent: str
) -> None:
    assert render(callback, message) == sent


def test_a_line_is_shown_with_the_request_that_it_makes_alone(render: Any) -> None:
    message = {"data": "e803", "rssi": -121.5}
    assert render("lines", message) == (
        "line: 1C178;e803;-121.50;\n"
        "\n"
        "POST https://ingest.example.com/batch?site=7&data=1C178%3Be803%3B-121.50%3B\n"
        "Content-Type: application/x-www-form-urlencoded\n"
        "\n"
        "site=7&data=1C178%3Be803%3B-121.50%3B\n"
    )
    shown = json.loads(render("lines", message, "--format", "json"))
    assert (shown["kind"], shown["line"]) == ("batch-line", "1C178;e803;-121.50;")
    assert shown["url"] == "https://ingest.example.com/batch?site=7&data={batch}"
    assert shown["batch"]["body"] == "site=7&data=1C178%3Be803%3B-121.50%3B"


def test_a_mail_is_shown_once_for_all_its_recipients(render: Any) -> None:
    message = {"info": "No message received since 2013-10-08 15:36:21"}
    assert render("silent", message) == (
        "mail to each of its recipients\n"
        "To: ops@example.com, duty@example.com\n"
        "Subject: 1C178 is silent\n"
        "\n"
        "ERROR: No message received since 2013-10-08 15:36:21\n"
    )
    shown = json.loads(render("silent", message, "--format", "json"))
    assert (shown["kind"], shown["recipients"]) == ("mail", ["ops@example.com", "duty@example.com"])
    assert shown["warnings"] == []
