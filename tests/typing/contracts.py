"""What must and must not type-check. Never run: `mypy --strict` over the tests is the test.

Each `type: ignore` below names the error that has to be there; mypy reports one that is not needed, so that a contract
which stops biting fails the build.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_type

from reconciler.model.delivery import (
    Accepted,
    Delivery,
    DeliveryId,
    HttpRequest,
    Lease,
    Mail,
    Outcome,
    Sendable,
    State,
    Step,
)
from reconciler.model.plan import Change, Plan
from reconciler.model.resource import Key
from reconciler.runtime.channels.dispatch import Channels
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.retry import OPERATOR_POLICY, next_step
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Inbox, Journal, Outbox, Revisions, Store
from reconciler.store.sqlite import SqliteStore
from reconciler.targets.engine import EngineObserver, EngineTarget
from reconciler.targets.protocol import Archive, Observer, Target


def implementations_fit_their_protocols(
    memory: MemoryStore, sqlite: SqliteStore, http: HttpChannel, mail: MailChannel, engine: EngineTarget
) -> tuple[Sequence[Store], Channel[HttpRequest], Channel[Mail], Channel[Sendable], Target]:
    return [memory, sqlite], http, mail, Channels(http=http, mail=mail), engine


def a_channel_of_one_kind_does_not_send_the_other(http: HttpChannel) -> Channel[Sendable]:
    return http  # type: ignore[return-value]


def a_store_is_each_of_its_roles(store: Store) -> tuple[Revisions, Inbox, Outbox, Journal]:
    return store, store, store, store


def one_role_is_not_a_store(inbox: Inbox) -> Store:
    return inbox  # type: ignore[return-value]


def who_plans_can_look(observer: EngineObserver, target: EngineTarget) -> tuple[Sequence[Archive], Sequence[Observer]]:
    return [observer, target], [observer, target]


def who_plans_can_not_write(observer: EngineObserver) -> Target:
    observer.client.publish({}, base=0)  # type: ignore[attr-defined]
    return observer  # type: ignore[return-value]


def values_do_not_change(delivery: Delivery, plan: Plan) -> None:
    delivery.state = State.DELIVERED  # type: ignore[misc]
    plan.digest = ""  # type: ignore[misc]


def ids_of_different_things_are_not_confused(delivery: DeliveryId) -> Key:
    return delivery  # type: ignore[return-value]


def a_forgotten_outcome_is_found(outcome: Outcome) -> int:  # type: ignore[return]
    match outcome:  # type: ignore[exhaustive-match]
        case Accepted(status=status):
            return status


def a_forgotten_change_is_found(change: Change) -> str:  # type: ignore[return]
    match change.kind:  # type: ignore[exhaustive-match]
        case "create":
            return "+"


def decisions_take_their_arguments_by_name(outcome: Outcome, now: datetime) -> None:
    assert_type(next_step(OPERATOR_POLICY, tries=1, outcome=outcome, now=now), Step)
    next_step(OPERATOR_POLICY, 1, outcome, now)  # type: ignore[call-arg]


async def a_promise_is_awaited(outbox: Outbox, leases: Sequence[Lease]) -> None:
    outbox.release(leases)  # type: ignore[unused-coroutine]
