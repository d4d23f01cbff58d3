from typing import Any

import pytest

from detectors.moderation.endpoint import Endpoint
from detectors.moderation.ledger import Budget
from detectors.moderation.openai import OpenAIDialect
from detectors.moderation.remote import RemoteModerator
from tests.detectors.moderation.subjects import Make


@pytest.fixture
def make(provider: Any) -> Make:
    def build(
        budget: Budget | None = None, batch_parts: int = 4, **given: Any
    ) -> RemoteModerator:
        chosen = {
            "base_url": provider.url,
            "model": "omni-moderation-latest",
            "api_key": "sk-test",
            "first_wait_seconds": 0.01,
            "timeout_seconds": 5.0,
            **given,
        }
        dialect = OpenAIDialect(batch_parts=batch_parts)
        return RemoteModerator(dialect, Endpoint(**chosen), budget=budget)

    return build
