"""Devices that ask for a downlink, receivers that answer, and what becomes of it: what two sections have in common."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted
from tests.conformance.operator.rig import Call, Reply, World, a_callback

__all__ = ["ASKS", "BIDIR", "BYTES", "CALLBACK", "HEX", "RESULT", "answering", "results", "served", "to"]

HEX = "00112233445566ff"
BYTES = bytes.fromhex(HEX)
ASKS: dict[str, Any] = {"ack": True, "station": "0AF0"}
CALLBACK: Content = {"downlink": {"mode": "callback"}}
BIDIR = a_callback("data/bidir", "http://far.example/ask/{device}", downlinkHook=True)
RESULT: Content = {
    "type": "service/acknowledge",
    "channel": "url",
    "url": "http://result.example/{device}",
    "contentType": "application/json",
    "body": '{"time":{time},"device":"{device}","code":{infoCode},"message":"{infoMessage}","ack":{downlinkAck},'
    '"overusage":{downlinkOverusage}}',
}


def to(device: str, data: str = HEX) -> bytes:
    """The documented answer."""
    return json.dumps({device: {"downlinkData": data}}).encode()


def answering(outcome: Reply) -> Callable[[Call], Reply]:
    """Every BIDIR callback is answered so; results are taken."""
    return lambda call: Accepted(200) if call.http.host == "result.example" else outcome


async def served(world: World) -> dict[str, bytes | None]:
    """What the network side gets when it asks now: data by device."""
    downlinks = await world.engine.serve_downlinks(limit=100, wait=timedelta())
    assert len({downlink.device for downlink in downlinks}) == len(downlinks)
    return {downlink.device: downlink.data for downlink in downlinks}


def results(world: World) -> list[tuple[str, int]]:
    """The results that ACKNOWLEDGE callbacks told: device and code, in order."""
    calls = [call.json for call in world.far.calls if call.http.host == "result.example"]
    return [(each["device"], each["code"]) for each in calls]
