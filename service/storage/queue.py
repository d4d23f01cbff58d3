"""Queue: what takes screenings to be worked on."""

from typing import Final, Literal, Protocol

from sqlalchemy import Connection

Priority = Literal["low", "normal", "high"]
"""How soon a screening is worked on, among those that wait in a queue."""

NORMAL: Final = "normal"


class Queue(Protocol):
    """Takes a tenant's screening, in the transaction that accepts it or moves it on.

    Nothing happens before the commit.
    """

    def enqueue(
        self,
        connection: Connection,
        screening_id: str,
        tenant: str,
        priority: Priority = NORMAL,
    ) -> None:
        """Queue a screening whose dataset is here."""
        ...

    def enqueue_ingest(
        self,
        connection: Connection,
        screening_id: str,
        tenant: str,
        priority: Priority = NORMAL,
    ) -> None:
        """Queue a screening whose dataset is still to be fetched."""
        ...
