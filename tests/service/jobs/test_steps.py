from io import BytesIO
from typing import Any

import pytest

from service.caller import OPEN
from service.jobs.backend import Backend
from service.jobs.scoring import Timed
from service.jobs.steps import Equipment, Gone, Steps
from service.policy import default_policy
from service.storage.objects import ObjectStore
from service.storage.screening import Order
from trial.recipe import Recipe


def steps_of(backend: Backend, screening: str) -> Steps:
    def missing(*given: object) -> Any:
        raise AssertionError("not asked for here")

    return Steps(
        Equipment(
            store=backend.store,
            sources=missing,  # type: ignore[arg-type]  # these steps fetch nothing
            queue=backend.queues,
            models=missing,
            load_moderator=missing,
            limits=backend.settings.limits(),
            runner=None,
            stopping=lambda: False,
        ),
        screening,
    )


@pytest.mark.parametrize("deleted", [True, False])
def test_a_folder_that_goes_while_it_is_written_to_is_a_deletion_or_a_fault(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    order = Order("n", default_policy(), Recipe(), run_trial=False)
    upload = backend.store.datasets.receive(BytesIO(b"rows"))
    screening = backend.accept(order, upload, OPEN).id

    def gone(self: ObjectStore, key: str, content: bytes) -> None:
        if deleted:
            backend.delete(screening, OPEN)
        raise FileNotFoundError(key)

    monkeypatch.setattr(ObjectStore, "put", gone)
    with pytest.raises(Gone if deleted else FileNotFoundError):
        steps_of(backend, screening)._keep("plan", Timed(1.0))
