"""A flipped bit anywhere in a checkpoint is found, with cnnexp's digest and by the archive's own sums."""

import shutil

import pytest
import torch

from cnnexp import CnnexpError
from cnnexp.training.checkpoints import WholeCheckpointIO
from cnnexp.whole import check_whole


def test_no_flipped_bit_is_believed(tmp_path):
    path = tmp_path / "best.ckpt"
    WholeCheckpointIO().save_checkpoint({"state_dict": {"a": torch.arange(100.0)}}, path)
    moved = shutil.copy(path, tmp_path / "alone.ckpt")
    assert WholeCheckpointIO().load_checkpoint(moved)["state_dict"]["a"][99] == 99
    whole = path.read_bytes()
    for place in range(0, len(whole) - 100, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CnnexpError, match="damaged"):
            WholeCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize("kind", ["sealed", "plain"])
def test_a_flipped_bit_anywhere_is_damage_or_changes_nothing(kind, tmp_path):
    content = {"state_dict": {"a": torch.arange(5000.0), "b": torch.ones(3)}, "epoch": 1}
    path = tmp_path / "theirs.ckpt"
    if kind == "sealed":
        WholeCheckpointIO().save_checkpoint(content, path)
    else:
        torch.save(content, path)
    check_whole(path)
    whole = path.read_bytes()
    weights = whole.index(torch.arange(1.0, 5000.0).numpy().tobytes())
    places = [*range(0, len(whole), len(whole) // 60), *range(weights, weights + 19996, 1000)]
    found = 0
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            again = WholeCheckpointIO().load_checkpoint(path)
        except CnnexpError as error:
            found += "damaged" in str(error)
        except Exception:
            assert kind == "plain"
        else:  # in the padding between two members, or a member's date
            assert kind == "plain"
            assert place not in places[-20:]
            assert all(torch.equal(again["state_dict"][name], content["state_dict"][name]) for name in "ab")
    assert found > len(places) // 2


def test_a_checkpoint_from_elsewhere_has_its_sums_checked(tmp_path):
    path = tmp_path / "theirs.ckpt"
    torch.save({"state_dict": {"a": torch.arange(100.0)}}, path)
    check_whole(path)
    whole = path.read_bytes()
    place = whole.index(torch.arange(100.0).numpy().tobytes()) + 40
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    torch.load(path, weights_only=True)
    with pytest.raises(CnnexpError, match="damaged"):
        check_whole(path)
