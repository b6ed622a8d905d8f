"""Posts of one turn of the loop are one call, and nobody's answer depends on a neighbour."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from reconciler.runtime.api.posts import Posts
from reconciler.runtime.api.shortcut import Answer
from tests.virtual_time import run


@dataclass(frozen=True)
class Post:
    name: str
    size: int = 1


@dataclass
class Taking:
    """Answers each post with its name; one that is called `bug` breaks the call."""

    calls: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    bugs: int = 0

    def __post_init__(self) -> None:
        self.posts = Posts[Post](take=self.take, bug=self.bug, done=self.forget)

    async def take(self, posts: Sequence[Post]) -> Sequence[Answer]:
        self.calls.append(" ".join(post.name for post in posts))
        await asyncio.sleep(1)
        if "bug" in self.calls[-1]:
            raise KeyError("a bug")
        return [(202, post.name.encode(), {}) for post in posts]

    def bug(self) -> Answer:
        self.bugs += 1
        return 500, b"sorry", {}

    def forget(self, posts: Sequence[Post]) -> None:
        self.done += [post.name for post in posts]

    def post(self, name: str, size: int = 1) -> None:
        self.task = self.posts.add(
            Post(name, size), lambda answer: self.answers.append(f"{name}: {answer[0]} {answer[1].decode()}")
        )


def test_those_of_one_turn_are_one_call_and_those_of_the_next_another() -> None:
    taking = Taking()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(taking.post, "a")
        loop.call_soon(taking.post, "b")
        await asyncio.sleep(0.1)
        taking.post("c")
        task = taking.task
        taking.post("d")
        assert taking.task is task
        await asyncio.sleep(2)

    run(story())
    assert taking.calls == ["a b", "c d"]
    assert taking.answers == [f"{name}: 202 {name}" for name in "abcd"]
    assert taking.done == list("abcd")


def test_a_call_takes_no_more_when_it_is_large() -> None:
    taking = Taking()

    async def story() -> None:
        taking.post("a", 200)
        taking.post("b", 56)
        taking.post("c")
        taking.post("d")
        await asyncio.sleep(2)

    run(story())
    assert taking.calls == ["a b", "c d"]
    assert len(taking.answers) == 4


def test_a_bug_is_the_affair_of_the_post_that_sets_it_off() -> None:
    taking = Taking()

    async def story() -> None:
        for name in ("a", "bug", "b"):
            taking.post(name)
        await asyncio.sleep(5)

    run(story())
    assert taking.calls == ["a bug b", "a", "bug", "b"]
    assert taking.answers == ["a: 202 a", "bug: 500 sorry", "b: 202 b"]
    assert taking.bugs == 1
    assert taking.done == ["a", "bug", "b"]


def test_a_call_that_is_cancelled_answers_nobody_and_forgets_its_posts() -> None:
    taking = Taking()

    async def story() -> None:
        taking.post("a")
        taking.post("b")
        await asyncio.sleep(0.5)
        taking.task.cancel()
        with suppress(asyncio.CancelledError):
            await taking.task

    run(story())
    assert (taking.answers, taking.done) == ([], ["a", "b"])
