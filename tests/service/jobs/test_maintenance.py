"""What no request waits for: removing what is beyond those kept, tenant by tenant."""

from dataclasses import replace
from io import BytesIO

from service.caller import OPEN, Caller
from service.jobs.backend import Backend
from service.jobs.maintenance import Maintenance
from service.policy import default_policy
from service.storage.screening import Order
from service.telemetry.metrics import Metrics
from trial.recipe import Recipe

ROW = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n'
OTHER = Caller("other", "", frozenset())


def finished(backend: Backend, by: Caller) -> str:
    order = Order("n", default_policy(), Recipe(targets=("q",)), run_trial=True)
    upload = backend.store.datasets.receive(BytesIO(ROW))
    made = backend.accept(order, upload, by)
    backend.store.finish(made.id, "ACCEPT", b"{}")
    return made.id


def test_each_tenant_keeps_its_newest_and_none_pushes_out_anothers(
    backend: Backend,
) -> None:
    alone = finished(backend, OTHER)
    oldest, *newer = [finished(backend, OPEN) for _ in range(3)]
    few = backend.settings.model_copy(update={"max_kept": 2})
    Maintenance(replace(backend, settings=few), None, Metrics())._clean()  # type: ignore[arg-type]  # cleaning asks no executor
    kept = {id_ for id_ in (alone, oldest, *newer) if backend.store.get(id_)}
    assert kept == {alone, *newer}
