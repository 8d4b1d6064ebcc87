"""Weights to a file and back."""

import os
import pickle
import sys

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, BackendError, DataError, DTypeError
from tinygrad_cv.io import load_safetensors, save_safetensors

ARRAYS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "features.1.num_batches_tracked": np.array(7),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "channels_last": np.arange(24.0).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.uint8),
}


def test_values_shapes_and_dtypes_come_back(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors({name: tg.tensor(a) for name, a in ARRAYS.items()}, path)
    loaded = load_safetensors(path)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert isinstance(loaded[name], tg.Tensor)
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_pytorch_reads_our_file_and_we_read_its(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "weights.safetensors"
    save_safetensors(ARRAYS, path, metadata={"made by": "a test"})
    theirs = load_file(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name].numpy(), array)
    with safe_open(path, "np") as file:
        assert file.metadata() == {"made by": "a test"}
    save_file(theirs, path)
    np.testing.assert_array_equal(
        load_safetensors(path)["transposed"].numpy(), ARRAYS["transposed"]
    )


def test_a_parameter_is_saved_without_a_word_about_gradients(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors({"w": tg.ones(3, requires_grad=True)}, path)
    assert not load_safetensors(path)["w"].requires_grad


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_safetensors({"w": tg.ones(3)}, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="cannot be written: no space"):
        save_safetensors({"w": tg.zeros(3)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


REFUSED = {
    "reserved": ({"__metadata__": np.ones(2)}, None, ArgumentError, "'__metadata__' is reserved"),
    "number": ({}, {"a": 1}, DTypeError, "'a' of the metadata is of type int, not a text"),
    "key": ({}, {1: "a"}, DTypeError, "the key 1 of the metadata is of type int, not a text"),
    "list": ({}, ["a"], DTypeError, "metadata must be a mapping of texts, not list"),
    "object": ({"w": np.array([None])}, None, DTypeError, "'w' is of dtype object"),
    "complex": ({"w": np.ones(2, complex)}, None, DTypeError, "'w' is of dtype complex128"),
    "surrogate": ({"\ud800": np.ones(2)}, None, DataError, "cannot be written"),
}


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "match"), REFUSED.values(), ids=list(REFUSED)
)
def test_what_could_not_be_read_again_leaves_the_old_file(
    tmp_path, tensors, metadata, error, match
):
    path = tmp_path / "weights.safetensors"
    save_safetensors({"w": tg.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(error, match=match):
        save_safetensors({"v": tg.ones(1), **tensors}, path, metadata)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_big_endian_arrays_keep_their_values(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors({"big": np.array([1.5, -2.0], ">f4")}, path)
    assert load_safetensors(path)["big"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not a safetensors file", b"\xff" * 64])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        load_safetensors(path)


def test_truncated_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors(ARRAYS, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cannot be read"):
        load_safetensors(path)


def test_a_dtype_that_numpy_lacks_is_refused(tmp_path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.ones(3, dtype=torch.bfloat16)}, path)
    with pytest.raises(DataError, match=r"(?i)bf16|bfloat16"):
        load_safetensors(path)


def test_bad_arguments(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        load_safetensors(tmp_path / "nothing.safetensors")
    with pytest.raises(DataError, match="there is no directory"):
        save_safetensors({"w": tg.ones(1)}, tmp_path / "nowhere" / "w.safetensors")
    with pytest.raises(DTypeError, match="'steps' is not a tensor but of type int"):
        save_safetensors({"steps": 3}, tmp_path / "w.safetensors")
    assert not os.listdir(tmp_path)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(BackendError, match=r"pip install safetensors\.$"):
        save_safetensors({}, tmp_path / "w.safetensors")


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        save_safetensors({"w": tg.ones(1)}, tmp_path / "folder")
    with pytest.raises(DTypeError, match="the name 1 is not a string"):
        save_safetensors({1: tg.ones(1)}, tmp_path / "w")
    with pytest.raises(DTypeError, match="a mapping of tensors"):
        save_safetensors(None, tmp_path / "w")
    with pytest.raises(DTypeError, match="a path is expected"):
        load_safetensors(None)
    assert os.listdir(tmp_path) == ["folder"]


def test_a_module_and_the_state_of_an_optimizer_are_told_another_way(tmp_path):
    path = tmp_path / "x.safetensors"
    layer = tg.nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"model\.state_dict\(\)"):
        save_safetensors(layer, path)
    save_safetensors(layer.state_dict(), path)  # the repair

    optimizer = tg.optim.Adam(layer.parameters())
    layer(tg.ones(1, 2)).sum().backward()
    optimizer.step()
    with pytest.raises(DTypeError, match=r"pickle\.dump\(optimizer\.state_dict\(\), file\)"):
        save_safetensors(optimizer.state_dict(), path)
    kept = pickle.loads(pickle.dumps(optimizer.state_dict()))  # the repair
    fresh = tg.optim.Adam(layer.parameters())
    fresh.load_state_dict(kept)
    assert fresh.state[layer.weight]["step"] == 1
