from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import lightning as L
import pytest
import torch
from annotated_types import Ge, Interval

from cnnexp.command.check import check_arguments
from cnnexp.errors import CnnexpError


def build(
    width: Annotated[int, Ge(1)],
    share: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    kind: Literal["a", "b"] = "a",
    sizes: Sequence[Annotated[int, Ge(1)]] = (1, 2),
    flag: bool = False,
    size: int | float | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
) -> None: ...


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 3, "share": 0, "kind": "b", "sizes": [4, 5], "flag": True, "size": 0.5},
        {"sizes": [], "size": None},
        {},
    ],
)
def test_what_the_signature_allows_passes(arguments):
    check_arguments(build, arguments, "model.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"widht": 3}, r"model\.widht: no such setting; did you mean model\.width\?"),
        ({"zzz": 3}, "allowed: flag, kind, optimizer, share, size, sizes, width"),
        ({"width": 0}, r"model\.width=0 is not allowed: input should be greater than or equal to 1"),
        ({"width": "abc"}, 'model.width="abc" is not allowed: input should be a valid integer'),
        ({"width": 1.5}, "valid integer"),
        ({"width": True}, "valid integer"),
        ({"width": None}, "model.width=null is not allowed"),
        ({"share": 1.0}, "less than 1"),
        ({"kind": "c"}, "'a' or 'b'"),
        ({"sizes": [1, 0]}, "item 1: input should be greater"),
        ({"sizes": 3}, "model.sizes=3"),
        ({"flag": "yes"}, "valid boolean"),
        ({"size": "big"}, "valid integer or input should be a valid number"),
    ],
)
def test_what_it_doesnt_is_named_with_what_it_would(arguments, said):
    with pytest.raises(CnnexpError, match=said):
        check_arguments(build, arguments, "model.")


def test_constructors_of_other_libraries_are_checked_as_well():
    check_arguments(torch.optim.Adam, {"lr": 1e-3, "betas": [0.9, 0.99], "fused": True}, "optimizer.")
    check_arguments(L.Trainer, {"max_epochs": 3, "devices": "auto", "precision": "bf16-mixed"}, "trainer.")
    with pytest.raises(CnnexpError, match='trainer.max_epochs="abc"'):
        check_arguments(L.Trainer, {"max_epochs": "abc"}, "trainer.")
    with pytest.raises(CnnexpError, match="did you mean optimizer.betas"):
        check_arguments(torch.optim.Adam, {"beta": 1}, "optimizer.")


def test_a_function_that_takes_anything_gets_it():
    def open_ended(**settings: int) -> None: ...

    check_arguments(open_ended, {"anything": 1}, "x.")
