"""That a secret's value is being read, which the event loop must not wait for by standing still."""

from concurrent.futures import Future

__all__ = ["SecretPending"]


class SecretPending(Exception):
    """Ask again once `read` is done; it holds nothing, and never fails. Raised only within a running event loop."""

    def __init__(self, name: str, read: "Future[None]") -> None:
        super().__init__(f"the secret {name} is being read")
        self.name = name
        self.read = read
