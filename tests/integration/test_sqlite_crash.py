"""What was acknowledged survives the sudden death of the engine's process (SIGKILL), whenever it comes.

Run as a program, this module is that process: it accepts and settles without end, and prints what was acknowledged.
"""

import asyncio
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from reconciler.model.alarm import AlarmKind
from reconciler.model.delivery import DeliveryId, Done, GiveUp, State
from reconciler.model.downlink import DownlinkState, Replies, Send
from reconciler.model.message import EVENT_DIGITS
from reconciler.store.protocol import DeliveryFilter
from reconciler.store.sqlite import open_sqlite
from tests.builders import (
    NOW,
    a_batch,
    a_delivery,
    a_downlink,
    a_lease,
    a_line,
    a_message,
    a_settlement,
    an_alarm,
    an_arrival,
)

ROOT = Path(__file__).parents[2]
LEASE = timedelta(minutes=2)
HOUR = timedelta(hours=1)
KILLS = 6
TASKS = 8
BATCHED = 1_600_000_000
ANSWER = Replies({}, Send(bytes(8)))


async def live(directory: Path, life: int) -> None:
    """Every task, without end: a message that asks for a downlink and sets an alarm, with two deliveries, of which one
    is settled with an answer; then two lines of another message, which are joined and settled. Each is acknowledged.
    """
    store = await open_sqlite(directory)

    async def work(task: int) -> None:
        number = 0
        while True:
            message = a_message(number, device=f"{life * TASKS + task:X}")
            first, second = a_delivery(message, 0), a_delivery(message, 1)
            alarm = an_alarm(message.event, kind=AlarmKind.GATHERED)
            arrival = an_arrival(
                message,
                held=[first, second],
                alarms=[alarm],
                downlink=a_downlink(message, asked_at=NOW + number * HOUR),
            )
            await store.accept([arrival], worker="w", lease=LEASE, now=NOW)
            print("accepted", message.id, flush=True)  # noqa: T201 - this is how it acknowledges
            await store.settle([a_settlement(a_lease(second), Done(), replies=ANSWER)])
            print("settled", message.id, flush=True)  # noqa: T201
            batched = a_message(number, device=message.device, time=BATCHED)
            lines = [a_delivery(batched, ordinal, request=a_line()) for ordinal in range(2)]
            await store.accept([an_arrival(batched, held=lines)], worker="w", lease=LEASE, now=NOW)
            await store.join([a_batch([a_lease(line) for line in lines])])
            print("joined", batched.id, flush=True)  # noqa: T201
            await store.settle([a_settlement(a_lease(lines[0]), GiveUp("refused"))])
            print("ended", batched.id, flush=True)  # noqa: T201
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
    acknowledged: dict[str, set[str]] = {what: set() for what in ("accepted", "settled", "joined", "ended")}
    for life in range(KILLS):
        for what, message_id in die(tmp_path, life, after=dice.randint(1, 150)):
            acknowledged[what].add(message_id)

        store = await open_sqlite(tmp_path)
        records = await store.deliveries(DeliveryFilter(), limit=1_000_000)
        kept = {record.delivery.id: record for record in records}
        assert acknowledged["accepted"] <= {delivery_id.message for delivery_id in kept}
        for what, state in (("settled", State.DELIVERED), ("ended", State.UNDELIVERED)):
            assert acknowledged[what] <= {i.message for i, record in kept.items() if record.delivery.state is state}

        # Whole or absent: a message with both deliveries, its alarm and its request; what is done with its attempt, and
        # with its answer.
        assert len(kept) == 2 * len({delivery_id.message for delivery_id in kept})
        alarms = {alarm.subject for alarm in await store.alarms_due(now=NOW, limit=1_000_000)}
        for (message_id, ordinal), record in kept.items():
            delivery = record.delivery
            if message_id.startswith(f"{BATCHED:08x}"):
                carrier, line = (kept[DeliveryId(message_id, place)].delivery for place in (0, 1))
                assert (
                    carrier.batch == line.batch == (carrier.id if message_id in acknowledged["joined"] else line.batch)
                )
                assert (carrier.batch, carrier.state, line.state) in (
                    (None, State.PENDING, State.PENDING),
                    (carrier.id, State.PENDING, State.JOINED),
                    (carrier.id, State.UNDELIVERED, State.UNDELIVERED),
                )
                assert len(record.attempts) == (delivery.state is State.UNDELIVERED and ordinal == 0)
            else:
                request = await store.downlink(message_id)
                assert request is not None
                assert message_id[:EVENT_DIGITS] in alarms
                assert len(record.attempts) == (delivery.state is State.DELIVERED)
                if ordinal == 1:
                    assert (request.state is DownlinkState.READY) == (delivery.state is State.DELIVERED)
        counts = await store.counts()
        assert counts == {state: sum(r.delivery.state is state for r in records) for state in State}

        # Nobody holds anything: all that is pending can be claimed at once.
        leases = await store.claim(worker="w", room={}, default_room=10**6, limit=10**6, lease=LEASE, now=NOW)
        assert {lease.delivery.id for lease in leases} == {
            DeliveryId(*i) for i, record in kept.items() if record.delivery.state is State.PENDING
        }
        await store.close()
    assert all(len(ids) > KILLS for ids in acknowledged.values())


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2])))
