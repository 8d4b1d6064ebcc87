"""The laws of the house, read from the source: layers, rule bodies, documentation, file length."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinygrad_cv
from tinygrad_cv import ops
from tinygrad_cv.core.op import REGISTRY, Op

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tinygrad_cv"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a floor imports from those before it.
FLOORS = (
    "_version",
    "errors",
    "backend",
    "core",
    "ops",
    "autograd",
    "utils",
    "nn",
    "func",
    "optim",
)
FLOORS += ("testing", "data", "models", "io", "viz", "profiler", "distributed", "cli")
STRANGERS = {("optim", "nn")}  # not to be imported although it lies below
OPTIONAL = ("cupy", "graphviz", "matplotlib", "numba", "PIL", "pygraphviz", "safetensors", "scipy")
OPTIONAL += ("sklearn", "torch", "tqdm")


# Layers -------------------------------------------------------------------------------------------


def floor_of(module: str) -> str | None:
    """The floor of a dotted name of the package; None for the package itself and others."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tinygrad_cv" and len(parts) > 1 else None


def imported(path: Path, text: str | None = None) -> Iterator[tuple[int, str]]:
    """(line, module of the package) for every import in a file, inside functions too."""
    tree = ast.parse(path.read_text() if text is None else text)
    package = ("tinygrad_cv", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if is_ours(a.name))
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            if module == "tinygrad_cv":
                yield from ((node.lineno, f"tinygrad_cv.{alias.name}") for alias in node.names)
            elif is_ours(module):
                yield node.lineno, module
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
            yield from ((node.lineno, n) for n in names if isinstance(n, str) and is_ours(n))


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "tinygrad_cv"


def layer_faults(path: Path, text: str | None = None) -> list[str]:
    """Imports of a file that do not go down."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = parts[0]
    if here in ("__init__", "__main__"):
        return []
    if here not in FLOORS:
        return [f"{path.name} lies on no floor"]
    faults = []
    for line, module in imported(path, text):
        floor = floor_of(module)
        if floor is None or floor not in FLOORS:
            if here == "cli":  # a program that users start may use the public face, as they do
                continue
            faults.append(f"{here}/{path.name}:{line} imports the package itself ({module})")
        elif FLOORS.index(floor) > FLOORS.index(here) or (here, floor) in STRANGERS:
            faults.append(f"{here}/{path.name}:{line} imports {module}, which is above it")
    return faults


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    assert layer_faults(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "from tinygrad_cv.nn import Module",
        "def f():\n    from tinygrad_cv import viz",
        "def f():\n    import tinygrad_cv.nn.functional as F",
        "from ..nn import functional",
        "import tinygrad_cv as tg",
        "import importlib\nimportlib.import_module('tinygrad_cv.optim')",
    ],
)
def test_an_upward_import_is_seen(text: str) -> None:
    assert layer_faults(PACKAGE / "ops" / "conv.py", text)
    assert not layer_faults(PACKAGE / "ops" / "conv.py", "from tinygrad_cv.core.op import Op")


# Rule bodies --------------------------------------------------------------------------------------

ATTRIBUTES = {"shape", "dtype", "ndim"}
BUILTINS = {"len", "range", "tuple", "list", "int", "float", "bool", "zip", "enumerate", "reversed"}
BUILTINS |= {"sorted", "min", "max", "sum", "any", "all", "slice", "isinstance", "abs", "divmod"}
OPERATORS: tuple[type[ast.operator], ...]
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv, ast.Mod)
OPERATORS += (ast.BitAnd, ast.BitOr)  # of masks, which never have a gradient
FORBIDDEN_NAMES = {"np", "xp", "numpy", "cupy", "Tensor"}
# math.log and the like would turn a 0-d Tensor into a number, and so lose its gradient.
CONSTANTS = {"math.inf", "math.nan", "math.pi", "math.e", "math.prod"}


def rule_faults(function: Any, seen: set[Any] | None = None) -> list[str]:
    """What in the text of a rule, or of a helper it calls, is no operator or plain arithmetic."""
    seen = set() if seen is None else seen
    if function in seen:
        return []
    seen.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    body = next(n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda)))
    statements = body.body if isinstance(body, ast.FunctionDef) else [body.body]
    where = f"{function.__module__}.{function.__qualname__}"
    faults = []
    scope = inspect.getclosurevars(function)
    known = {**scope.globals, **scope.nonlocals}
    for node in (n for statement in statements for n in ast.walk(statement)):
        text = ast.unparse(node) if isinstance(node, ast.expr) else ""
        attribute = isinstance(node, ast.Attribute) and node.attr not in ATTRIBUTES
        allowed = text in CONSTANTS or (attribute and is_call_of_an_operator(node, known))
        odd = isinstance(node, ast.BinOp) and not isinstance(node.op, OPERATORS)
        if odd or (attribute and not allowed):
            faults.append(f"{where}: {text}")
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Delete)):
            faults.append(f"{where}: {type(node).__name__.lower()}")
        elif isinstance(node, ast.AugAssign) and not is_counter(node.target, statements):
            faults.append(f"{where}: {ast.unparse(node)} may write into an argument")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            written = [t for t in targets if not isinstance(t, (ast.Name, ast.Tuple, ast.List))]
            faults += [f"{where}: writes into {ast.unparse(t)}" for t in written]
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            faults.append(f"{where}: the name {node.id}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            faults += call_faults(where, node.func.id, known, seen, function)
    return faults


def is_call_of_an_operator(node: Any, known: dict[str, Any]) -> bool:
    """``Sum.call`` and the like."""
    owner = known.get(node.value.id) if isinstance(node.value, ast.Name) else None
    return node.attr == "call" and isinstance(owner, type) and issubclass(owner, Op)


def is_counter(target: ast.expr, statements: list[Any]) -> bool:
    """A local name that only ever starts as a number."""
    nodes = [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Assign)]
    values = [n.value for n in nodes for t in n.targets if ast.unparse(t) == ast.unparse(target)]
    return bool(values) and all(isinstance(v, ast.Constant) for v in values)


def call_faults(
    where: str, name: str, known: dict[str, Any], seen: set[Any], rule: Any
) -> list[str]:
    """A rule calls operators, faces of operators, a few builtins, and helpers that obey its law."""
    target = known.get(name, getattr(builtins, name, None))
    if target is getattr(builtins, name, None) and target is not None:
        return [] if name in BUILTINS else [f"{where}: builtin {name}"]
    if target is None or getattr(target, "op", None) is not None:
        return []  # a local name, or an operator
    if not inspect.isfunction(target):
        return [f"{where}: calls {name}, a {type(target).__name__}"]
    if target.__module__ == rule.__module__:
        return rule_faults(target, seen)
    if target.__module__.startswith("tinygrad_cv.ops"):
        return []  # a face of an operator, or arithmetic on shapes in a module of helpers
    return [f"{where}: calls {target.__module__}.{name}"]


def operators() -> list[type[Op]]:
    """The operators of the package, without those that tests register."""
    return [op for op in REGISTRY.values() if op.__module__.startswith("tinygrad_cv.")]


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_rules_are_made_of_operators(op: type[Op]) -> None:
    assert [fault for rule in op.rules.values() for fault in rule_faults(rule)] == []


def _helper_with_an_array(g: Any) -> Any:
    return g.sum(0)


def _rule_that_calls_it(g: Any, input: Any) -> Any:
    return g * _helper_with_an_array(input)


def _rule_that_writes(g: Any, input: Any) -> Any:
    g *= input
    return g


def _rule_that_writes_an_item(g: Any, input: Any) -> Any:
    input[0] = 0
    return g


def _rule_that_is_right(g: Any, input: Any, input_shape: Any) -> Any:
    scale = 1 / input.shape[0] if len(input_shape) > 1 else -(2**input.ndim)
    return g * scale * (input > 0) @ input


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, input: g.copy(),
        lambda g, input: g * input.array,
        lambda g, input: g * np.ones(3),  # noqa: F821
        lambda g, input: g ^ input,
        lambda g, input: print(g),
        _rule_that_calls_it,
        _rule_that_writes,
        _rule_that_writes_an_item,
    ],
    ids=["method", "array", "numpy", "bits", "builtin", "helper", "augmented", "item"],
)
def test_a_fault_in_a_rule_is_seen(rule: Any) -> None:
    assert rule_faults(rule)
    assert not rule_faults(_rule_that_is_right)


# Documentation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_an_operator_says_what_it_does(op: type[Op]) -> None:
    assert op.__dict__.get("__doc__"), "docstring"
    assert op.equation, "equation"
    assert set(op.gradients) == set(op.rules), "one gradient text for each rule"
    assert all(op.gradients.values())


def modules() -> list[str]:
    """Every module of the package that can be imported without an optional package."""
    found = pkgutil.walk_packages([str(PACKAGE)], "tinygrad_cv.")
    return sorted(info.name for info in found if not info.name.endswith("__main__"))


@pytest.mark.parametrize("name", modules())
def test_public_names_have_docstrings(name: str) -> None:
    module = load(name)
    bare = []
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        own = inspect.isfunction(value) or inspect.isclass(value)
        if own and value.__module__ == name and not value.__dict__.get("__doc__", value.__doc__):
            bare.append(public)
    assert module.__doc__, "the module"
    assert bare == []


# Names of the floors core/ and errors that have no example yet. The list only gets shorter.
NEED_A_GPU = {"Tensor.cuda", "nn.Module.cuda"}  # their examples are shown, but not run
BY_PATH = ("nn.summary", "viz.render", "viz.text", "viz.transforms")  # public, not in an __all__


def public_names() -> dict[str, Any]:
    """What a user reaches through ``__all__`` of the package and of the modules named there:
    functions, classes, and the members that classes have from the package, each thing once."""
    pending = [tinygrad_cv, *(load(f"tinygrad_cv.{name}") for name in BY_PATH)]
    found: dict[str, Any] = {}
    for module in pending:
        place = module.__name__.partition(".")[2]
        for name in getattr(module, "__all__", [n for n in vars(module) if n[0] != "_"]):
            value = getattr(module, name)
            if inspect.ismodule(value) and is_ours(value.__name__) and value not in pending:
                pending.append(value)
            elif inspect.isfunction(value) or inspect.isclass(value):
                found[f"{place}.{name}".lstrip(".")] = value
    classes = {path: kind for path, kind in found.items() if inspect.isclass(kind)}
    for path, kind in sorted(classes.items(), key=lambda item: len(item[1].__mro__)):
        found |= {f"{path}.{name}": value for name, value in members(kind).items()}
    first = {value: path for path, value in reversed(found.items())}
    return {path: value for value, path in first.items()}


def members(kind: type) -> dict[str, Any]:
    """Public methods and properties, also of private bases. An override is documented where the
    method comes from."""
    found: dict[str, Any] = {}
    for base in reversed([b for b in kind.__mro__ if is_ours(b.__module__)]):
        for name, value in vars(base).items():
            value = getattr(value, "fget", getattr(value, "__func__", value))
            if inspect.isfunction(value) and name[0] != "_":
                found.setdefault(name, value)
    return found


def examples(value: Any) -> list[doctest.Example]:
    """The examples of a docstring that run and are more than imports."""
    text = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    return [
        example
        for example in doctest.DocTestParser().get_examples(text or "")
        if not example.options.get(doctest.SKIP)
        and not example.source.startswith(("import ", "from "))
    ]


def test_public_names_have_an_example() -> None:
    public = public_names()
    bare = {name for name, value in public.items() if not examples(value)}
    assert sorted(bare - NEED_A_GPU) == []
    assert sorted(NEED_A_GPU - bare) == [], "no longer bare: take them off the list"


@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_", "pow_"])
def test_examples_of_methods_made_by_a_function_run(name: str) -> None:
    """pytest finds the examples of what a module defines under its name, so not these."""
    method = getattr(tinygrad_cv.Tensor, name)
    (example,) = doctest.DocTestFinder().find(method, name, globs={})
    assert doctest.DocTestRunner().run(example) == (0, 2)


def load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name and error.name.split(".")[0] in OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise


# Files --------------------------------------------------------------------------------------------


def sources(*endings: str) -> list[Path]:
    """The project's own files."""
    places = [ROOT / name for name in ("tinygrad_cv", "tests", "tools", "examples")]
    found = [p for place in places for p in place.rglob("*") if p.is_file()]
    found += [ROOT / name for name in ("README.md", "pyproject.toml") if (ROOT / name).exists()]
    return sorted(p for p in found if p.suffix in endings and "__pycache__" not in p.parts)


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in sources(".py")}
    assert {name: n for name, n in lengths.items() if n > 450} == {}


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(path.read_text())
    text = set()
    for node in ast.walk(tree):
        is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_constant and isinstance(node.value.value, str):
            text |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(1 for n, line in lines if n not in text and line.strip() and line.strip()[0] != "#")


def test_the_core_stays_small() -> None:
    """About 700 lines. The limit may only go down."""
    assert sum(code_lines(path) for path in (PACKAGE / "core").rglob("*.py")) <= 755


def test_no_text_knows_the_machine_it_was_written_on() -> None:
    machine = "|".join(("/work/", "/root/", "/tmp/" + "venv", r"/home/\w+/"))
    hosts = "|".join(("python" + "hosted", "pypi" + r"\.org", "index-" + "url"))
    pattern = re.compile(rf"(?<![\w.])(?:{machine})|{hosts}")
    here = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}:{n}: {line.strip()[:80]}"
        for path in sources(".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".json", ".dot")
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and path != here
    ]
    assert found == []


# Import -------------------------------------------------------------------------------------------


def test_import_loads_no_optional_package() -> None:
    text = f"import sys, tinygrad_cv; print([m for m in {OPTIONAL} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_stubs_are_not_stale() -> None:
    tool = ROOT / "tools" / "stubs.py"
    done = subprocess.run(
        [sys.executable, str(tool), "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_the_one_in_this_tree() -> None:
    assert tinygrad_cv.__file__ is not None
    if PACKAGE.exists() and Path(tinygrad_cv.__file__).parent != PACKAGE:
        pytest.skip("an installed copy is under test")


def test_no_name_is_given_away_twice() -> None:
    """The modules of ``ops`` are discovered: the last one would win, unseen."""
    givers: dict[str, list[str]] = {}
    for info in pkgutil.iter_modules(ops.__path__):
        module = importlib.import_module(f"{ops.__name__}.{info.name}")
        for kind, spaces in NAME_LISTS.items():
            for name in getattr(module, kind, ()):
                for space in spaces:
                    givers.setdefault(f"{space}.{name}", []).append(info.name)
    assert {name: found for name, found in givers.items() if len(found) > 1} == {}


NAME_LISTS = {
    "TENSOR_FUNCTIONS": ("tg", "Tensor"),
    "TG_FUNCTIONS": ("tg",),
    "NN_FUNCTIONS": ("F",),
    "METHODS": ("Tensor",),
}
