"""Posts that come in one turn of the event loop, taken together and answered one by one.

1. Under load dozens of clients post a message each in every turn. To carry each of them through engine and store as a
   task of its own costs more than what is done for its message; together they are one call.
2. A post shares nothing with its neighbours but that call: it was read before, and it gets an answer of its own. A
   store that fails would have failed for all of them anyway, for they would have been one group there. When the call
   meets a bug, each post is taken again alone, so that only those that set it off are answered 500. That is safe,
   because a message that was kept is recognised.
3. A call takes a bounded number of messages, and posts beyond it make up the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from reconciler.runtime.api.shortcut import Answer, Answered

__all__ = ["Post", "Posts"]

_LARGE: Final = 256  # messages of a call that takes no further post: a millisecond or two of reading and routing


class Post(Protocol):
    """A post that was read."""

    @property
    def size(self) -> int:
        """How many messages it holds."""
        ...


P = TypeVar("P", bound=Post)


class Posts(Generic[P]):
    """Gathers posts. `take` answers some of them; `bug` tells of one, while it is handled, and makes its answer.

    `done` is told of each call's posts when nothing more happens to them, whatever became of them.
    """

    def __init__(
        self,
        *,
        take: Callable[[Sequence[P]], Awaitable[Sequence[Answer]]],
        bug: Callable[[], Answer],
        done: Callable[[Sequence[P]], None],
    ) -> None:
        self._take = take
        self._bug = bug
        self._done = done
        self._posts: list[P] = []
        self._answered: list[Answered] = []
        self._messages = 0
        self._taking: asyncio.Task[None] | None = None

    def add(self, post: P, answered: Answered) -> asyncio.Task[None]:
        """Take a post with the others of this turn; the task that does it."""
        taking = self._taking
        if taking is None:
            self._posts, self._answered, self._messages = [], [], 0
            taking = self._taking = asyncio.get_running_loop().create_task(self._run(self._posts, self._answered))
        self._posts.append(post)
        self._answered.append(answered)
        self._messages += post.size
        if self._messages >= _LARGE:
            self._taking = None
        return taking

    async def _run(self, posts: list[P], answered: list[Answered]) -> None:
        # A task starts in the next turn: by then all posts of this one are there.
        if posts is self._posts:
            self._taking = None
        try:
            for answer, tell in zip(await self._answers(posts), answered, strict=True):
                tell(answer)
        finally:
            self._done(posts)

    async def _answers(self, posts: Sequence[P]) -> Sequence[Answer]:
        try:
            return await self._take(posts)
        except Exception:
            if len(posts) == 1:
                return [self._bug()]
        return [answer for post in posts for answer in await self._answers([post])]
