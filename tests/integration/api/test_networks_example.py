"""What `examples/networks/README.md` has a person copy is what the doors understand."""

import re
from pathlib import Path

import orjson
import pytest

from reconciler.grammar.body import parse_json_body
from reconciler.grammar.escape import Json
from reconciler.grammar.payload import Value
from reconciler.model.variables import Form, offered
from reconciler.runtime.api.networks.operator import EVENTS
from tests.integration.api.rig import Rig

EXAMPLE = Path(__file__).parents[3] / "examples" / "networks"
README = (EXAMPLE / "README.md").read_text()
TEMPLATES = dict(re.findall(r"^```json ([a-z-]+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
# Names of 2013 to 2016, which a new template has no use for.
OLDER = {"signal", "avgSignal"}
VALUES: dict[Form, Value] = {
    Form.INTEGER: 3,
    Form.TWO_DECIMALS: Json("12.50"),
    Form.AT_MOST_TWO_DECIMALS: Json("3.2"),
    Form.DECIMAL: Json("5.569001982230841"),
    Form.WHOLE_DEGREES: Json("45"),
    Form.TEXT: "0AF0",
    Form.FLAG: True,
    Form.JSON: Json('{"lat":52.0}'),
}
BY_NAME: dict[str, Value] = {
    "time": 1_471_594_359,
    "lqi": "Limit",
    "severity": "ERROR",
    "infoCode": 0,
    "duplicates": Json('[{"bsId":"37FF","rssi":-123.0,"nbRep":3}]'),
}


def test_there_is_a_template_for_every_event() -> None:
    assert set(TEMPLATES) == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_a_template_has_every_variable_that_the_operator_offers(event: str) -> None:
    used = {variable.name for variable in parse_json_body(TEMPLATES[event]).variables}

    assert used == set(offered(EVENTS[event].callback_type)) - OLDER


@pytest.mark.parametrize("event", EVENTS)
async def test_what_the_operator_makes_of_a_template_is_understood(rig: Rig, event: str) -> None:
    await rig.publish()
    table = offered(EVENTS[event].callback_type)
    values = {name: BY_NAME.get(name, VALUES[variable.form]) for name, variable in table.items()}
    body = parse_json_body(TEMPLATES[event]).render({**values, "device": "1C178"})
    assert isinstance(body, str)
    response = await rig.client.post(f"/v1/in/operator/{event}?deviceType=tracker", content=body)
    (message,) = await rig.store.messages_of("1C178", limit=9)

    assert response.status_code == 204, response.text
    assert set(message.metadata) == set(orjson.loads(body)) - {"device", "time", "data", "seqNumber"}


@pytest.mark.parametrize("event", EVENTS)
async def test_a_contract_without_options_makes_nulls_of_most_and_that_is_understood(rig: Rig, event: str) -> None:
    await rig.publish()
    given: dict[str, Value] = {"device": "1C178", "time": 1_471_594_359, "data": "1e2d", "ack": False, "infoCode": 0}
    body = parse_json_body(TEMPLATES[event]).render({**given, "lat": 45, "lng": 6})
    response = await rig.client.post(f"/v1/in/operator/{event}?deviceType=tracker", content=str(body))

    assert response.status_code == 204, response.text
