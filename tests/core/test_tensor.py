"""Tensor itself: what it is, getting values out, copies, NumPy's protocols, devices."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_cv as tg


def test_tensor_copies_and_from_numpy_shares():
    source = np.zeros(3, "float32")
    copied, shared = tg.tensor(source), tg.from_numpy(source)
    source[0] = 1
    assert copied.numpy()[0] == 0
    assert shared.numpy()[0] == 1


def test_default_dtypes():
    assert tg.tensor([1.0, 2.0]).dtype == "float32"
    assert tg.tensor([1, 2]).dtype == "int64"
    assert tg.tensor([True]).dtype == "bool"
    assert tg.tensor(np.zeros(2)).dtype == "float64"
    assert tg.tensor(2.5).shape == ()
    assert tg.float32 is np.dtype("float32")


@pytest.mark.parametrize("dtype", ["complex64", "float16", "uint32", "object", "U3"])
def test_other_dtypes_are_refused_clearly(dtype):
    with pytest.raises(tg.DTypeError, match=r"^tensor: .* is not supported") as caught:
        tg.tensor(np.zeros(2, dtype))
    assert "float32" in str(caught.value)


def test_ragged_lists():
    with pytest.raises(tg.ArgumentError, match="different lengths"):
        tg.tensor([[1, 2], [3]])


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("int64", "float32", "float32"),
        ("uint8", "int8", "int16"),
        ("bool", "float32", "float32"),
        ("int32", "int64", "int64"),
        ("float32", "float64", "float64"),
    ],
)
def test_promotion_is_pytorchs(left, right, expected):
    assert (tg.ones(2, dtype=left) + tg.ones(2, dtype=right)).dtype == expected


def test_scalars_and_0d_tensors_are_weak():
    f, i = tg.ones(2), tg.tensor([1, 2])
    assert (f * 2.5).dtype == "float32"
    assert (f * np.float64(2.5)).dtype == "float32"
    assert (f * tg.tensor(2.5, dtype="float64")).dtype == "float32"
    assert (i * 2.5).dtype == "float32"
    assert (i / i).dtype == "float32"
    assert (i * tg.tensor(2)).dtype == "int64"


def test_numpy_refuses_to_drop_a_gradient():
    x = tg.ones(2, requires_grad=True)
    for get in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array([x, x])):
        with pytest.raises(tg.GraphError, match="requires a gradient"):
            get()
    assert x.detach().numpy().tolist() == [1, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda a, t: a * t,
        lambda a, t: np.float64(2) * t,
        lambda a, t: np.float32(2) - t,
        lambda a, t: np.sin(t),
        lambda a, t: np.add(a, t),
        lambda a, t: np.concatenate([t, t]),
        lambda a, t: np.stack([t, t]),
        lambda a, t: np.sum(t),
        lambda a, t: np.mean(t, axis=0),
        lambda a, t: np.maximum(a, t),
        lambda a, t: np.matmul(a, t),
        lambda a, t: np.exp(t),
        lambda a, t: np.var(t),
    ],
)
def test_numpy_functions_give_tensors_with_gradients(call):
    a = np.arange(1.0, 4.0)
    t = tg.tensor([0.5, 1.5, 2.5], dtype="float64", requires_grad=True)
    out = call(a, t)
    assert isinstance(out, tg.Tensor)
    assert out.requires_grad
    np.testing.assert_allclose(out.detach().numpy(), call(a, t.detach().numpy()), rtol=1e-12)
    out.sum().backward()
    assert t.grad is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda a, t: np.add.reduce(t),
        lambda a, t: np.sqrt(t, out=a),
        lambda a, t: np.linalg.norm(t),
        lambda a, t: np.modf(t),
        lambda a, t: np.add.at(a, [0], t),
    ],
)
def test_other_numpy_functions_are_a_clear_type_error(call):
    a, t = np.arange(3.0), tg.tensor([0.5, 1.5, 2.5], dtype="float64", requires_grad=True)
    with pytest.raises(TypeError, match=r"np\."):
        call(a, t)
    np.testing.assert_array_equal(a, np.arange(3.0))


def test_item_and_truth():
    assert tg.tensor([[3]]).item() == 3
    assert float(tg.tensor(2.5)) == 2.5
    with pytest.raises(tg.ShapeError, match="has 2"):
        tg.zeros(2).item()
    with pytest.raises(tg.ArgumentError, match="ambiguous"):
        bool(tg.zeros(2))
    assert [10, 20, 30][tg.tensor(1)] == 20


def test_requires_grad_rules():
    with pytest.raises(tg.DTypeError, match="only floating"):
        tg.tensor([1, 2]).requires_grad_()
    y = tg.ones(2, requires_grad=True) * 2.0
    with pytest.raises(tg.GraphError, match="only a leaf"):
        y.requires_grad = False
    x = tg.ones(2, requires_grad=True)
    x.requires_grad = False
    assert not x.requires_grad


def test_deepcopy_and_pickle():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    assert not np.shares_memory(twin.array, x.array)
    np.testing.assert_array_equal(twin.grad.numpy(), x.grad.numpy())
    again = pickle.loads(pickle.dumps(x))
    assert again.requires_grad
    np.testing.assert_array_equal(again.detach().numpy(), [1, 2])
    with pytest.raises(tg.GraphError, match="only leaves"):
        copy.deepcopy(x * 2.0)


def test_repr():
    assert repr(tg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(tg.tensor([1, 2])) == "tensor([1, 2])"
    assert "requires_grad=True" in repr(tg.ones(1, requires_grad=True))
    assert "grad_fn=<mul>" in repr(tg.ones(1, requires_grad=True) * 2.0)
    assert "meta" in repr(tg.ones(2, 3, device="meta"))


# Devices -----------------------------------------------------------------------------------------


def test_unknown_device():
    with pytest.raises(tg.ArgumentError, match="unknown device 'gpu'"):
        tg.zeros(1, device="gpu")


@pytest.mark.parametrize(
    ("arguments", "type", "index"),
    [
        (("cuda:1",), "cuda", 1),
        (("cuda",), "cuda", None),
        (("cuda", 1), "cuda", 1),
        ((1,), "cuda", 1),
        (("cuda", np.int64(0)), "cuda", 0),
        (("cpu",), "cpu", None),
        (("meta:0",), "meta", None),
        (("cpu", 0), "cpu", None),
        ((tg.device("cuda:3"),), "cuda", 3),
    ],
)
def test_the_text_of_a_device_is_parsed_without_cuda(arguments, type, index):
    device = tg.device(*arguments)
    assert (device.type, device.index) == (type, index)
    assert device == tg.device(str(device)) == pickle.loads(pickle.dumps(device))
    assert hash(device) == hash(copy.deepcopy(device))


@pytest.mark.parametrize(
    "arguments",
    [
        (text,)
        for text in ("banana", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda:\u00b2", "cpu:1")
    ],
)
def test_a_text_that_names_no_device_is_refused_where_it_is_made(arguments):
    refused(arguments)


@pytest.mark.parametrize(
    "arguments",
    [("cuda:1", 1), ("cuda", -1), ("cuda", 1.0), ("cuda", True), (-1,), (1, 1), (True,), (None,)],
)
def test_what_is_no_device_is_refused_where_it_is_made(arguments):
    refused(arguments)


def refused(arguments):
    with pytest.raises(tg.ArgumentError, match=r'^device: [^$]*Use "cpu", "cuda", "cuda:1"'):
        tg.device(*arguments)


@pytest.mark.skipif(tg.cuda_is_available(), reason="a CUDA device is there")
@pytest.mark.parametrize("device", ["cuda", tg.device("cuda"), tg.device("cuda", 7), 0])
def test_whether_a_device_exists_is_seen_when_it_is_used(device):
    for use in (
        lambda: tg.zeros(1, device=device),
        lambda: tg.ones(1).to(device),
        lambda: tg.ones(1).cuda(device),
        lambda: tg.nn.Linear(1, 1).to(device),
        lambda: tg.nn.Linear(1, 1).cuda(device),
        lambda: tg.set_default_device(device),
    ):
        with pytest.raises(tg.BackendError, match=r"(?i)cuda[^$]*pip install cupy-cuda12x"):
            use()


def test_devices_of_pytorch_are_read():
    torch = pytest.importorskip("torch")
    assert tg.ones(1).to(torch.device("meta")).device == tg.device("meta")
    assert tg.nn.Linear(1, 1).to(torch.device("meta")).weight.device == tg.device("meta")


@pytest.mark.skipif(tg.cuda_is_available(), reason="a CUDA device is there")
def test_cuda_without_a_device_says_what_is_missing():
    with pytest.raises(tg.BackendError, match=r"(?i)cuda") as caught:
        tg.zeros(1, device="cuda")
    assert "pip install" in str(caught.value)


def test_default_device():
    assert str(tg.default_device()) == "cpu"
    tg.set_default_device("meta")
    try:
        assert tg.zeros(2).device.type == "meta"
    finally:
        tg.set_default_device("cpu")


def test_meta_computes_shapes_and_refuses_values():
    x = tg.zeros(4, 3, device="meta", requires_grad=True)
    y = (x * 2.0 + tg.zeros(3, device="meta")).sum(dim=0)
    assert y.shape == (3,)
    assert y.device.type == "meta"
    for use in (y.tolist, lambda: bool(y.sum() > 0), lambda: y.sum().item(), y.sum().backward):
        with pytest.raises(tg.GraphError, match="meta"):
            use()


def test_mixed_devices_are_named():
    with pytest.raises(tg.BackendError, match="different devices") as caught:
        tg.zeros(2) + tg.zeros(2, device="meta")
    assert "cpu" in str(caught.value)
    assert "meta" in str(caught.value)


def test_broadcast_error_shows_both_shapes():
    with pytest.raises(tg.ShapeError, match="do not broadcast") as caught:
        tg.zeros(2, 3) + tg.zeros(2, 4)
    assert "(2, 3)" in str(caught.value)
    assert "(2, 4)" in str(caught.value)


def test_site_and_scope_are_recorded():
    x = tg.ones(2, requires_grad=True)
    y = x * 3.0
    assert y.node.site.filename == __file__
    assert y.node.site.function == "test_site_and_scope_are_recorded"
    assert y.sum().node.site.filename == __file__
    assert y.node.scope is None


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_subclasses_of_ndarray_become_plain_and_masks_are_refused():
    matrix = tg.Tensor(np.matrix([[1.0, 2.0], [3.0, 4.0]]))
    assert type(matrix.array) is np.ndarray
    assert (matrix * matrix).tolist() == [[1.0, 4.0], [9.0, 16.0]]
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    with pytest.raises(tg.DTypeError, match=r"mask.*\n.*filled"):
        tg.tensor(masked)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros(2, ">f8"), np.zeros(2, "complex64")])
def test_wrapping_refuses_other_dtypes_too(array):
    with pytest.raises(tg.DTypeError, match="is not supported"):
        tg.Tensor(array)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: tg.matmul(x, None), tg.DTypeError, "two tensors, not NoneType None"),
        (lambda x: x @ 3, tg.DTypeError, "two tensors, not int 3"),
        (lambda x: x.gather(0, "a"), tg.DTypeError, "index must be a tensor, not str 'a'"),
        (lambda x: tg.relu(None), tg.DTypeError, "input must be a tensor"),
        (lambda x: tg.nn.functional.elu(x, "a"), tg.DTypeError, "alpha must be a number"),
        (lambda x: tg.nn.functional.conv2d(x, 5), tg.DTypeError, "weight must be a tensor"),
        (lambda x: tg.tensor([1], dtype="int8") + 300, tg.DTypeError, "out of bounds for int8"),
        (lambda x: x + 10**400, tg.DTypeError, "too large"),
        (lambda x: ~x, tg.DTypeError, "integers and bool, not on float32"),
        (lambda x: tg.zeros(2**63), tg.ArgumentError, "zeros: size is .* 64 bits"),
    ],
)
def test_wrong_kinds_of_arguments_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call(tg.ones(2, 2))


def test_arguments_may_be_numpy_integers_and_go_by_name():
    x = tg.ones(2, 3)
    assert tg.amax(x, dim=np.int64(1)).shape == (2,)
    pooled = tg.nn.functional.max_pool2d(tg.ones(1, 1, 4, 4), 2, stride=np.int64(2))
    assert pooled.shape == (1, 1, 2, 2)
    assert isinstance(tg.exp(input=[0.0, 1.0]), tg.Tensor)
    assert isinstance(tg.acos(np.float32(3)), tg.Tensor)


def test_sizes_are_no_data():
    with pytest.raises(tg.ArgumentError, match=r"use tg\.empty\(2, 3\)"):
        tg.Tensor(2.0, 3)
    with pytest.raises(tg.ArgumentError, match="requires_grad by its name"):
        tg.Tensor([1.0], True)
    assert tg.Tensor([1.0], requires_grad=True).requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.zeros(2, True),
        lambda: tg.ones(True),
        lambda: tg.rand(2, True),
        lambda: tg.full((2, True), 1.0),
        lambda: tg.ones(4).reshape(True, 4),
    ],
)
def test_bools_are_no_sizes(make):
    with pytest.raises(tg.DTypeError, match="must be a whole number, not bool True"):
        make()
