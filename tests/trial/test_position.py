"""Models count their positions from 0, from behind the padding's, or are refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from detectors.errors import ModelError
from trial.base_model import load_base
from trial.position import first_position, positions


class Counting:
    """A model whose logits are the places of its tokens, by itself from `own` on."""

    def __init__(self, own: int, padding: int | None) -> None:
        self.own = own
        self.config = SimpleNamespace(pad_token_id=padding)
        self.device = torch.device("cpu")

    def get_input_embeddings(self) -> Any:
        return SimpleNamespace(weight=torch.zeros(10, 2))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor | None = None,
    ) -> Any:
        assert self.config.pad_token_id not in input_ids.tolist()[0]
        own = torch.arange(self.own, self.own + input_ids.shape[1])[None]
        places = own if position_ids is None else position_ids
        return SimpleNamespace(logits=places[..., None].float())

    __call__ = forward


@pytest.mark.parametrize(
    ("own", "padding", "found"),
    [(0, None, 0), (0, 1, 0), (2, 1, 2), (4, 3, 4), (3, 1, None), (2, None, None)],
)
def test_the_first_position_is_found_by_what_the_model_says(
    own: int, padding: int | None, found: int | None
) -> None:
    assert first_position(Counting(own, padding)) == found


def test_a_model_that_takes_no_positions_needs_none() -> None:
    class Plain(Counting):
        def forward(self, input_ids: torch.Tensor) -> Any:  # type: ignore[override]  # on purpose
            raise AssertionError

    assert first_position(Plain(5, None)) == 0


def test_a_model_with_a_count_of_its_own_is_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trial.base_model.first_position", lambda model: None)
    with pytest.raises(ModelError, match="positions of tokens in a way of its own"):
        load_base(str(folders["llama"]))


def test_positions_count_what_the_mask_does_not_hide() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert positions(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert positions(mask, 2).tolist() == [[2, 2, 2, 3], [2, 3, 4, 5]]
