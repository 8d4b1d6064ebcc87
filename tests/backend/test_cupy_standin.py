"""The stand-in for CuPy is strict: every refusal it promises, and the counts it keeps."""

import copy
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

real = pytest.importorskip("cupy")

from tests.cupy_standin import StandInError, installed  # noqa: E402
from tests.cupy_standin.functions import UFunc  # noqa: E402


@pytest.fixture
def cp():
    with installed() as module:
        yield module


@pytest.fixture
def x(cp):
    return cp.asarray(np.arange(12.0, dtype=np.float32).reshape(3, 4))


class TestConversion:
    @pytest.mark.parametrize(
        "convert", [np.asarray, np.array, lambda x: np.float32(x), lambda x: np.asarray([x, x])]
    )
    def test_to_numpy_is_never_implicit(self, x, convert):
        with pytest.raises(TypeError, match="Implicit conversion to a NumPy array"):
            convert(x)

    @pytest.mark.parametrize(
        "call",
        [np.exp, np.sum, np.transpose, lambda x: np.add(x, 1), lambda x: np.concatenate([x, x])],
    )
    def test_numpy_functions_are_refused(self, x, call):
        with pytest.raises(StandInError, match="use xp"):
            call(x)

    @pytest.mark.parametrize(
        "mix",
        [
            lambda cp, x, n: x + n,
            lambda cp, x, n: n + x,
            lambda cp, x, n: x == n,
            lambda cp, x, n: x @ n.T,
            lambda cp, x, n: cp.add(x, n),
            lambda cp, x, n: cp.where(x > 0, x, n),
            lambda cp, x, n: cp.matmul(x, n.T),
            lambda cp, x, n: cp.concatenate([x, n]),
            lambda cp, x, n: cp.sum(n),
            lambda cp, x, n: x.__setitem__(0, n[0]),
            lambda cp, x, n: x.__setitem__(np.array([0]), 1.0),
            lambda cp, x, n: x[np.array([0, 1])],
            lambda cp, x, n: x[n > 3],
            lambda cp, x, n: x.take(np.array([0])),
            lambda cp, x, n: x.__iadd__(n),
            lambda cp, x, n: cp.add.at(x, np.array([0]), 1.0),
        ],
    )
    def test_mixing_with_numpy_arrays_is_refused(self, cp, x, mix):
        with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy.ndarray'>"):
            mix(cp, x, np.ones((3, 4), np.float32))

    def test_numpy_scalars_take_part_with_their_own_dtype(self, x):
        assert (np.float32(2) * x).dtype == np.float32
        assert (np.float64(2) * x).dtype == (x * np.float64(2)).dtype == np.float64
        assert (2.0 * x).dtype == np.float32

    def test_a_0d_array_is_no_index_of_python(self, cp):
        with pytest.raises(TypeError):
            range(cp.asarray(3))
        with pytest.raises(TypeError):
            [1, 2, 3][cp.asarray(1)]

    def test_is_not_hashable_and_takes_no_attributes(self, x):
        with pytest.raises(TypeError, match="unhashable"):
            hash(x)
        with pytest.raises(AttributeError):
            x.note = 1


class TestNames:
    @pytest.mark.parametrize(
        "name", ["errstate", "scatter_add", "not_a_name", "float128", "memmap"]
    )
    def test_what_cupy_has_not_the_stand_in_has_not(self, cp, name):
        assert not hasattr(real, name)
        with pytest.raises(AttributeError, match=name):
            getattr(cp.module, name)

    @pytest.mark.parametrize("name", ["ctypes", "setflags", "__array_interface__", "newbyteorder"])
    def test_nor_have_its_arrays(self, x, name):
        assert not hasattr(real.ndarray, name)
        with pytest.raises(AttributeError):
            getattr(x, name)

    def test_flags_have_no_writeable(self, x):
        with pytest.raises(AttributeError):
            x.flags.writeable

    @pytest.mark.parametrize("name", ["RawKernel", "ReductionKernel", "random", "fuse"])
    def test_what_is_not_modelled_says_so(self, cp, name):
        assert hasattr(real, name)
        with pytest.raises(StandInError, match=f"does not model cupy.{name}"):
            getattr(cp.module, name)

    def test_every_modelled_name_is_real(self, cp):
        """Methods and attributes of the array; module names are checked when the module is made."""
        own = {n for n in dir(type(cp.module.ndarray)) if not n.startswith("_")}
        for name in dir(cp.module.ndarray):
            if not name.startswith("_") and name not in own:
                assert hasattr(real.ndarray, name), name

    def test_dtypes_and_constants_are_those_of_numpy(self, cp):
        assert cp.float32 is np.float32
        assert cp.dtype is np.dtype
        assert cp.newaxis is None
        assert cp.pi == np.pi

    def test_arguments_are_those_of_cupy(self, cp, x):
        for call in (
            lambda: cp.sum(x, where=x > 0),
            lambda: cp.sum(x, initial=1),
            lambda: x.max(initial=0),
            lambda: cp.take(x, [0], mode="clip"),
            lambda: cp.lib.stride_tricks.as_strided(x, writeable=False),
            lambda: cp.einsum("ij->i", x, out=x),
            lambda: cp.pad(x, 1, unknown=1),
            lambda: x.reshape((4, 3), shape=1),
            lambda: x.astype("float64", device="cpu"),
            lambda: x.transpose(axes=(1, 0)),
        ):
            with pytest.raises(TypeError, match=r"argument"):
                call()

    def test_ufuncs_take_only_what_cupy_takes(self, cp, x):
        for keyword in ("where", "order", "subok", "axis"):
            with pytest.raises(TypeError, match="Wrong arguments"):
                cp.add(x, 1, **{keyword: None})
        with pytest.raises(TypeError, match="Wrong number of arguments"):
            cp.add(x)

    def test_ufunc_methods_are_those_that_cupy_has(self, cp, x):
        np.testing.assert_array_equal(cp.add.reduce(x).get(), x.get().sum(0))
        np.testing.assert_array_equal(cp.add.accumulate(x, 1).get(), x.get().cumsum(1))
        for call in (
            lambda: cp.maximum.reduce(x),
            lambda: cp.maximum.accumulate(x),
            lambda: cp.maximum.reduceat(x, [0, 2]),
            lambda: cp.multiply.at(x, [0], 2),
            lambda: cp.logical_or.reduce(x),
        ):
            with pytest.raises(NotImplementedError, match="is not supported yet"):
                call()

    def test_sorting_is_stable_or_nothing(self, cp, x):
        assert cp.argsort(x[0], kind="stable").get().tolist() == [0, 1, 2, 3]
        for call in (lambda: cp.argsort(x, kind="quicksort"), lambda: cp.sort(x, kind="mergesort")):
            with pytest.raises(ValueError, match="kind can only be"):
                call()

    def test_dtype_loops_are_those_of_cupy(self, cp):
        with pytest.raises(TypeError):
            cp.subtract(cp.ones(3, bool), cp.ones(3, bool))
        loops = SimpleNamespace(nin=1, nout=1, nargs=2, types=("f->f", "d->d"))
        sqrt = UFunc("sqrt", loops, np.sqrt)
        assert sqrt(cp.ones(3)).dtype == np.float64
        with pytest.raises(StandInError, match=r"cupy\.sqrt of .*int8.* gives .*float32"):
            sqrt(cp.ones(3, np.int8))  # NumPy: float16
        sqrt.types = ("f->f",)
        with pytest.raises(TypeError, match="Wrong type"):
            sqrt(cp.ones(3))


class TestResults:
    def test_reductions_are_0d_arrays(self, cp, x):
        for value in (x.sum(), x[1, 2], cp.max(x), cp.matmul(x[0], x[0]), x.mean(), cp.prod(x)):
            assert type(value) is cp.module.ndarray
            assert value.shape == ()
        assert type(cp.allclose(x, x)) is cp.module.ndarray
        assert type(cp.count_nonzero(x)) is cp.module.ndarray
        assert type(x.sum() * 2 + 1) is cp.module.ndarray

    def test_arithmetic_is_c_contiguous(self, cp):
        nhwc = cp.zeros((2, 5, 6, 3), np.float32).transpose(0, 3, 1, 2)
        assert not nhwc.flags.c_contiguous
        for result in (nhwc + 1, cp.exp(nhwc), nhwc.copy(), cp.where(nhwc > 0, nhwc, 0)):
            assert result.flags.c_contiguous
        for result in (nhwc.astype(np.float64), cp.empty_like(nhwc), cp.zeros_like(nhwc)):
            assert not result.flags.c_contiguous
        out = cp.empty_like(nhwc)
        assert cp.add(nhwc, 1, out=out) is out

    def test_fresh_memory_is_poisoned(self, cp):
        assert np.isnan(cp.empty((3, 3)).get()).all()
        assert (cp.empty(3, np.int64).get() != 0).all()
        assert np.isnan(cp.empty_like(cp.zeros(3)).get()).all()

    def test_views_share_memory_and_name_their_base(self, cp, x):
        view = x.reshape(4, 3)[1:].T
        assert view.base is x
        view[...] = 9
        assert float(x[1, 0]) == 9
        assert (x + 1).base is None

    def test_values_are_those_of_numpy(self, cp, x):
        n = x.get()
        np.testing.assert_array_equal((x @ x.T).get(), n @ n.T)
        np.testing.assert_array_equal(cp.einsum("ij,kj->ik", x, x).get(), n @ n.T)
        np.testing.assert_array_equal(x[cp.asarray([2, 0]), 1:].get(), n[[2, 0], 1:])
        np.testing.assert_array_equal(x[x > 5].get(), n[n > 5])
        np.testing.assert_array_equal((1 / (x + 1) - x // 2).get(), 1 / (n + 1) - n // 2)
        y = cp.zeros(4, np.float32)
        cp.add.at(y, cp.asarray([1, 1, 3]), cp.asarray([1.0, 2.0, 4.0], dtype=np.float32))
        assert y.get().tolist() == [0, 3, 0, 4]
        sp = sys.modules["cupyx"].scipy.special
        assert float(sp.erf(x)[0, 0]) == 0

    def test_no_floating_point_warnings(self, cp):
        assert np.isinf(float(cp.ones(()) / 0))

    def test_copies_and_pickles(self, x):
        for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert type(other) is type(x)
            np.testing.assert_array_equal(other.get(), x.get())
            other[...] = 0
        assert float(x[0, 1]) == 1


class TestSilentFaultsOfCuPy:
    def test_indices_out_of_range(self, cp, x):
        """CuPy wraps them; an integer that is no array raises as in NumPy."""
        far = cp.asarray([3])
        for call in (
            lambda: x[far],
            lambda: x.__setitem__(far, 0),
            lambda: cp.take(x, far, axis=0),
            lambda: cp.take_along_axis(x, far[None], axis=0),
            lambda: cp.add.at(x, far, 1),
        ):
            with pytest.raises(StandInError, match="CuPy wraps indices"):
                call()
        with pytest.raises(IndexError):
            x[3]

    def test_overlapping_assignment(self, x):
        with pytest.raises(StandInError, match="overlapping"):
            x[1:] = x[:-1]
        x[...] = x
        x[1:] = x[:-1].copy()

    def test_integers_to_a_negative_power(self, cp):
        n = cp.asarray([1, 2])
        for call in (lambda: n**-1, lambda: cp.power(n, -n), lambda: 2 ** (-n)):
            with pytest.raises(StandInError, match="CuPy gives 0 or 1"):
                call()

    def test_reduceat(self, cp, x):
        with pytest.raises(StandInError, match="subtracts running sums"):
            cp.add.reduceat(x, cp.asarray([0, 2]))

    def test_scatter_has_no_int64(self, cp):
        with pytest.raises(TypeError, match="does not support int64"):
            cp.add.at(cp.zeros(3, np.int64), cp.asarray([1]), 1)

    def test_out_must_have_the_shape_and_a_castable_dtype(self, cp, x):
        with pytest.raises(ValueError, match="Out shape is mismatched"):
            cp.add(x, x, out=cp.empty((2, 3, 4), np.float32))
        with pytest.raises(TypeError, match="cannot be cast"):
            cp.add(x, x, out=cp.empty((3, 4), np.int32))
        with pytest.raises(TypeError):
            cp.add(x, x, out=np.empty((3, 4), np.float32))


class TestDevices:
    def test_arrays_belong_to_the_device_they_were_made_on(self):
        with installed(devices=2) as cp:
            assert cp.cuda.runtime.getDeviceCount() == 2
            a = cp.zeros(3)
            with cp.cuda.Device(1):
                b = cp.zeros(3)
                assert (b + 1).device.id == 1
                with pytest.raises(StandInError, match="an array on device 0 is used while"):
                    a + 1
            assert (a.device.id, b.device.id) == (0, 1)
            assert b.get().tolist() == [0, 0, 0]
            for call in (lambda: b + 1, lambda: a + b, lambda: b.sum(), lambda: cp.exp(b)):
                with pytest.raises(StandInError, match="an array on device 1 is used while"):
                    call()

    def test_a_view_stays_on_its_device_even_without_elements(self):
        with installed(devices=2) as cp:
            for shape in ((2, 3), (0, 3)):
                with cp.cuda.Device(1):
                    a = cp.zeros(shape)
                for view in (a.T, a.transpose(1, 0), a[:, 1:], a.reshape(-1)):
                    assert view.device.id == 1
                with pytest.raises(StandInError, match="an array on device 1 is used while"):
                    a + 1

    def test_asarray_and_copy_bring_an_array_to_the_current_device(self):
        with installed(devices=2) as cp:
            a = cp.asarray([1.0, 2.0])
            with cp.cuda.Device(1):
                for b in (cp.asarray(a), a.copy()):
                    assert b.device.id == 1
                    assert (b + 1).get().tolist() == [2, 3]
            assert cp.asarray(a) is a

    def test_a_device_that_is_not_there(self, cp):
        with pytest.raises(real.cuda.runtime.CUDARuntimeError):
            cp.cuda.Device(1).use()

    def test_none_at_all(self):
        with installed(devices=0) as cp:
            assert not cp.cuda.is_available()


class TestElementwiseKernel:
    IN, OUT = "raw T rows, raw int64 order, raw int64 bounds, int64 width", "T total"

    @pytest.fixture
    def kernel(self, cp):
        return cp.ElementwiseKernel(self.IN, self.OUT, "", "tinygrad_cv_sum_rows")

    @pytest.fixture
    def args(self, cp):
        rows = cp.asarray(np.ones((3, 2), np.float32))
        order, bounds = cp.asarray([0, 1, 2]), cp.asarray([0, 2, 3])
        return [rows, order, bounds, 2, cp.empty((2, 2), np.float32)]

    def test_runs(self, kernel, args, cp):
        cp.counts.reset()
        assert kernel(*args) is args[-1]
        assert args[-1].get().tolist() == [[2, 2], [1, 1]]
        assert cp.counts.launches == 1

    def test_types_are_checked(self, kernel, args, cp):
        for position, wrong in [
            (1, cp.asarray([0], dtype=np.int32)),
            (4, cp.empty((2, 2), np.float64)),
        ]:
            with pytest.raises(TypeError, match="Type is mismatched"):
                kernel(*args[:position], wrong, *args[position + 1 :])
        for position, wrong in [(0, np.ones((3, 2), np.float32)), (1, 3)]:
            with pytest.raises(TypeError, match="Unsupported type"):
                kernel(*args[:position], wrong, *args[position + 1 :])

    def test_the_loop_must_have_one_size(self, kernel, args):
        with pytest.raises(ValueError, match="Loop size"):
            kernel(*args[:4])
        with pytest.raises(ValueError, match="Loop size"):
            kernel(*args, size=4)

    def test_bad_declarations(self, cp):
        with pytest.raises(ValueError, match="Syntax error"):
            cp.ElementwiseKernel("cooked T x", "T y", "", "tinygrad_cv_sum_rows")
        with pytest.raises(TypeError, match="no argument"):
            cp.ElementwiseKernel("T x", "T y", "", "tinygrad_cv_sum_rows", unknown=1)
        with pytest.raises(StandInError, match="REFERENCES has no kernel"):
            cp.ElementwiseKernel("T x", "T y", "", "unknown")


class TestCounts:
    def test_launches_and_transfers(self, cp):
        counts = cp.counts
        counts.reset()
        x = cp.asarray(np.ones((3, 4), np.float32))
        assert (counts.launches, counts.to_device, counts.to_host) == (0, 1, 0)
        y = x * 2 + 1
        z = y.reshape(4, 3).T[1:]
        assert counts.launches == 2
        total = z.sum()
        assert counts.launches == 3
        assert counts.to_host == 0
        assert float(total) == 24.0
        assert bool(total > 3)
        total.item()
        z.get()
        assert counts.to_host == 4
        counts.reset()
        x += 1
        x[0] = 3
        cp.empty((3, 3))
        assert (counts.launches, counts.to_device, counts.to_host) == (2, 0, 0)

    def test_a_boolean_mask_is_a_transfer(self, cp, x):
        cp.counts.reset()
        x[x > 3]
        assert cp.counts.to_host == 1


class TestInstalled:
    def test_puts_everything_back(self):
        before = sys.modules.get("cupy"), sys.modules.get("cupyx.scipy.special")
        with installed() as cp:
            import cupy

            assert cupy is cp.module
            assert cupy is not real
        assert (sys.modules.get("cupy"), sys.modules.get("cupyx.scipy.special")) == before

    def test_an_error_inside_puts_everything_back_too(self):
        before = sys.modules.get("cupy")
        with pytest.raises(ZeroDivisionError), installed():
            1 / 0
        assert sys.modules.get("cupy") is before
