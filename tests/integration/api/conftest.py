from collections.abc import AsyncIterator

import pytest

from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import Rig, Served, in_process, serving


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def rig(store: MemoryStore) -> AsyncIterator[Rig]:
    """An engine behind its doors, without a socket."""
    async with in_process(store) as rig:
        yield rig


@pytest.fixture
async def served(store: MemoryStore) -> AsyncIterator[Served]:
    """An engine behind its doors, on a socket of the loopback interface."""
    async with serving(store) as served:
        yield served
