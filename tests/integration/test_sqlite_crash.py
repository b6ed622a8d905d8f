"""What was acknowledged survives the sudden death of the engine's process (SIGKILL), whenever it comes.

Run as a program, this module is that process: it accepts and settles without end, and prints what was acknowledged.
"""

import asyncio
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from reconciler.model.delivery import DeliveryId, Done, State
from reconciler.store.protocol import DeliveryFilter
from reconciler.store.sqlite import open_sqlite
from tests.builders import NOW, a_delivery, a_lease, a_message, a_settlement, an_arrival

ROOT = Path(__file__).parents[2]
LEASE = timedelta(minutes=2)
KILLS = 6
TASKS = 8


async def live(directory: Path, life: int) -> None:
    """Every task: a message with two deliveries, one of which is settled; two lines for two acknowledgements."""
    store = await open_sqlite(directory)

    async def work(task: int) -> None:
        number = 0
        while True:
            message = a_message(number, device=f"{life * TASKS + task:X}")
            first, second = a_delivery(message, 0), a_delivery(message, 1)
            await store.accept([an_arrival(message, held=[first, second])], worker="w", lease=LEASE, now=NOW)
            print("accepted", message.id, flush=True)  # noqa: T201 - this is how it acknowledges
            await store.settle([a_settlement(a_lease(second), Done())])
            print("settled", message.id, flush=True)  # noqa: T201
            number += 1

    await asyncio.gather(*map(work, range(TASKS)))


def die(directory: Path, life: int, *, after: int) -> list[list[str]]:
    """Kill the process when it has acknowledged so many times; everything it acknowledged."""
    command = [sys.executable, "-m", "tests.integration.test_sqlite_crash", str(directory), str(life)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
    return [line.split() for line in lines if line.endswith("\n")]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    dice = random.Random(20_260_101)
    accepted, settled = set[str](), set[str]()
    for life in range(KILLS):
        for what, message_id in die(tmp_path, life, after=dice.randint(1, 150)):
            (accepted if what == "accepted" else settled).add(message_id)

        store = await open_sqlite(tmp_path)
        records = await store.deliveries(DeliveryFilter(), limit=1_000_000)
        kept = {record.delivery.id: record for record in records}
        assert accepted <= {delivery_id.message for delivery_id in kept}
        assert settled <= {i.message for i, record in kept.items() if record.delivery.state is State.DELIVERED}

        # Whole or absent: a message with both deliveries, a delivery that is done with its attempt.
        assert len(kept) == 2 * len({delivery_id.message for delivery_id in kept})
        assert all(len(r.attempts) == (r.delivery.state is State.DELIVERED) for r in records)
        counts = await store.counts()
        assert counts == {state: sum(r.delivery.state is state for r in records) for state in State}

        # Nobody holds anything: all that is pending can be claimed at once.
        leases = await store.claim(worker="w", room={}, default_room=10**6, limit=10**6, lease=LEASE, now=NOW)
        assert {lease.delivery.id for lease in leases} == {
            DeliveryId(*i) for i, record in kept.items() if record.delivery.state is State.PENDING
        }
        await store.close()
    assert len(accepted) > KILLS


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2])))
