"""The example of the ways in: what its README has a person type works, played by each of the three networks."""

from pathlib import Path

from tests.journeys.test_readme import run_readme


def test_the_networks_work_as_the_readme_says(tmp_path: Path) -> None:
    said = run_readme("networks", tmp_path)

    assert "Revision 1 is published" in said
    for delivered in (
        # The operator: decoded, and asked for a command.
        "POST /trackers/1C178\n",
        '{"time": 1767225590, "seq": 2516, "temperature": 235, "battery": 26, "wantsCommand": true}',
        # The Things Stack: the strongest gateway first, and the settings that it asked for.
        "POST /soil/70B3D57ED0051A2B\n",
        '"gateway": "B827EBFFFE4C11D2", "rssi": -104.00, "snr": 1.50}',
        "GET /soil/70B3D57ED0051A2B/settings?ack=true\n",
        '"device":"70B3D57ED0051A2B","deviceType":"soil-probe","data":"0e10000000000000"',
        # ChirpStack
        "POST /soil/24E124128C2B40F1\n",
        '{"time": 1767225611, "frame": 79, "moisture": 2550, "temperature": 1000,',
        "GET /soil/24E124128C2B40F1/settings?ack=false\n",
    ):
        assert delivered in said, said
