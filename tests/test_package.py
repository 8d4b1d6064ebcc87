"""What the package is as a whole: what importing it costs, and what its files promise."""

import importlib.metadata
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_cv as tg

ROOT = Path(__file__).parent.parent
OPTIONAL = {
    "cupy", "graphviz", "llvmlite", "numba", "pygraphviz", "safetensors", "scipy", "sklearn", "tbb",
    "torch", "tqdm",
}  # fmt: skip
SLOW_PARTS_OF_PYTHON = {"asyncio", "email", "http", "multiprocessing", "unittest", "urllib.request"}


def modules_after(statement):
    """Names of the modules that a fresh interpreter has loaded, with warnings as errors."""
    code = f"import numpy, sys; before = set(sys.modules); {statement}; import json; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert not done.stderr
    return set(json.loads(done.stdout))


def test_importing_loads_nothing_optional_and_little_else():
    loaded = modules_after("import tinygrad_cv")
    assert not {name for name in loaded if name.partition(".")[0] in OPTIONAL}
    assert not loaded & SLOW_PARTS_OF_PYTHON
    upper_floors = {
        f"tinygrad_cv.{name}" for name in ("cli", "data", "io", "models", "testing", "viz")
    }
    assert not loaded & upper_floors
    assert len({name for name in loaded if not name.startswith("tinygrad_cv")}) <= 60


@pytest.mark.parametrize(
    "floor", ["nn", "optim", "data", "models", "io", "viz", "testing", "autograd"]
)
def test_every_floor_loads_on_its_own_without_optional_packages(floor):
    loaded = modules_after(f"import tinygrad_cv.{floor}")
    assert not {name for name in loaded if name.partition(".")[0] in OPTIONAL}


def test_public_names_exist():
    for name in tg.__all__:
        assert getattr(tg, name) is not None
    assert set(tg.__all__) <= set(dir(tg))
    public = {name for name in dir(tg) if not name.startswith("__")}
    assert public <= set(tg.__all__)  # no module that an import has left behind
    assert dir(tg.nn.functional) == sorted(tg.nn.functional.__all__)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = tg.no_such_name


def test_operators_take_their_arguments_by_name():
    """As PyTorch's do, whether the face is written out or made from the operator."""
    x = tg.tensor([4.0, 9.0])
    assert tg.pow(input=x, exponent=2).tolist() == x.pow(exponent=2).tolist() == [16.0, 81.0]
    assert tg.remainder(x, other=3).tolist() == [1.0, 0.0]
    assert tg.floor(input=x).tolist() == [4.0, 9.0]
    assert "exponent" in inspect.signature(tg.pow).parameters
    with pytest.raises(TypeError, match="exponent"):
        tg.pow(x, base=2)


def test_version():
    assert all(part.isdigit() for part in tg.__version__.split("."))
    try:
        installed = importlib.metadata.version("tinygrad-cv")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here, only imported from its tree")
    assert installed == tg.__version__


def test_the_package_carries_its_types_and_its_licence():
    package = ROOT / "tinygrad_cv"
    assert (package / "py.typed").exists()
    assert "MIT License" in (package / "LICENSE").read_text()
