"""Write the stub files of the names that exist by discovery, so that editors and mypy know them.

    python tools/stubs.py            # write them
    python tools/stubs.py --check    # exit 1 and say which are stale, write nothing

The functions of `ops/` reach `tinygrad_cv`, `tinygrad_cv.nn.functional` and `Tensor` through the
registry. Inside `ops/` they are annotated for arrays and Tensors alike (`Any`); a user always gets
Tensors back, which is what the stubs say.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tinygrad_cv as tg  # noqa: E402
import tinygrad_cv.viz  # noqa: E402  (gives Tensor its `graph`)
from tinygrad_cv import ops  # noqa: E402

HEADER = "# Written by tools/stubs.py; do not edit.\n"
WIDTH = 100
NAMES_OF_OBJECT = {"__eq__", "__ne__"}  # our results are Tensors, those of `object` are bools


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether files are stale")
    check = parser.parse_args().check
    stale = []
    for path, text in stubs().items():
        if (path.read_text() if path.exists() else None) != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text)
    for path in stale:
        print(f"{path} is stale: run python tools/stubs.py" if check else f"wrote {path}")
    return 1 if check and stale else 0


def stubs() -> dict[Path, str]:
    """The text of every stub file."""
    package = ROOT / "tinygrad_cv"
    return {
        package / "__init__.pyi": package_stub(),
        package / "nn" / "functional.pyi": functional_stub(),
        package / "core" / "tensor_methods.pyi": methods_stub(),
    }


def package_stub() -> str:
    """`tinygrad_cv`: what `__init__.py` imports, its lazy modules, and the functions of ops/."""
    source = ast.parse((ROOT / "tinygrad_cv" / "__init__.py").read_text())
    imports = Imports(shadowed=set(ops.TG_FUNCTIONS))
    lines = []
    for statement in source.body:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith(
            "tinygrad_cv"
        ):
            for alias in statement.names:
                name = alias.asname or alias.name
                if not name.startswith("_") or name == "__version__":
                    lines.append(f"from {statement.module} import {alias.name} as {name}")
    lines += [
        f"from tinygrad_cv import {name} as {name}"
        for name in tg._LAZY
        if list((ROOT / "tinygrad_cv").glob(f"{name}/__init__.py"))
        or (ROOT / "tinygrad_cv" / f"{name}.py").exists()
    ]
    imports.also(lines)
    functions = [declare(n, f, imports) for n, f in sorted(ops.TG_FUNCTIONS.items())]
    return imports.head() + "".join(functions)


def functional_stub() -> str:
    """`tinygrad_cv.nn.functional`."""
    imports = Imports(shadowed=set(ops.NN_FUNCTIONS))
    imports.add("tinygrad_cv.core.tensor", "Tensor")
    functions = [declare(n, f, imports) for n, f in sorted(ops.NN_FUNCTIONS.items())]
    return imports.head() + "".join(functions)


def methods_stub() -> str:
    """What the floors above core/ gave to Tensor, as a base class for type checkers only."""
    source = ast.parse((ROOT / "tinygrad_cv" / "core" / "tensor.py").read_text())
    body = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == "Tensor").body
    own = {n.name for n in body if isinstance(n, ast.FunctionDef)}
    own |= {"__module__", "__doc__", "__slots__", "__annotations__", "__weakref__", "__hash__"}
    assigned = [target for n in body if isinstance(n, ast.Assign) for target in n.targets]
    own |= {target.id for target in assigned if isinstance(target, ast.Name)}
    own |= set(tg.Tensor.__slots__)
    given = {name: member for name, member in vars(tg.Tensor).items() if name not in own}
    imports = Imports(shadowed=set(given) | own)
    imports.add("tinygrad_cv.core.tensor", "Tensor")
    members = []
    for name, member in sorted(given.items()):
        if isinstance(member, property):
            members.append("@property\n" + declare(name, member.fget, imports, method=True))
            if member.fset is not None:
                setter = declare(name, member.fset, imports, method=True)
                members.append(f"@{name}.setter\n{setter}")
        elif callable(member):
            members.append(declare(name, member, imports, method=True))
    text = textwrap.indent("".join(members), "    ")
    return imports.head() + "class TensorMethods:\n" + text


class Imports:
    """The import lines that a stub needs, gathered while its annotations are read.

    Where the stub itself defines a name such as `bool`, the built-in is `builtins.bool`.
    """

    def __init__(self, shadowed: set[str]) -> None:
        self.lines: set[str] = set()
        self.shadowed = shadowed

    def add(self, module: str, name: str, alias: str | None = None) -> None:
        self.lines.add(f"from {module} import {name}" + (f" as {alias}" if alias else ""))

    def also(self, lines: Iterable[str]) -> None:
        self.lines.update(lines)

    def head(self) -> str:
        exported = {line.rpartition(" ")[2] for line in self.lines if " as " in line}
        plain = {
            line for line in self.lines if " as " in line or line.rpartition(" ")[2] not in exported
        }
        return HEADER + "\n".join(sorted(plain)) + "\n\n"

    def resolve(self, annotation: str, scope: dict[str, Any], module: str, any_as: str) -> str:
        """`annotation` with every name imported; names that cannot be found become Any."""
        tree = ast.parse(annotation, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if node.id == "Any":
                    node.id = any_as
                node.id = self._import(node.id, scope, module)
        return ast.unparse(tree)

    def _import(self, name: str, scope: dict[str, Any], module: str) -> str:
        found = scope.get(name)
        if name == "Any":
            self.add("typing", "Any")
        elif name == "Tensor":
            self.add("tinygrad_cv.core.tensor", "Tensor")
        elif isinstance(found, types.ModuleType):
            self.lines.add(f"import {found.__name__} as {name}")
        elif isinstance(found, type) and found.__module__ != "builtins":
            self.add(found.__module__, found.__name__)
        elif found is not None:
            self.add(module, name)
        elif not hasattr(builtins, name):
            self.add("typing", "Any")
            return "Any"
        elif name in self.shadowed:
            self.lines.add("import builtins")
            return f"builtins.{name}"
        return name


def declare(name: str, function: Any, imports: Imports, method: bool = False) -> str:
    """The `def` of a public function, with the first sentence of its docstring."""
    function = inspect.unwrap(function)
    scope, module = getattr(function, "__globals__", {}), function.__module__
    parameters = parameters_of(function)
    if method:
        parameters[0] = parameters[0].replace(name="self", annotation=inspect.Parameter.empty)
        if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            parameters[0] = parameters[0].replace(default=inspect.Parameter.empty)
    texts = [""] * len(parameters)
    for number, parameter in enumerate(parameters):
        texts[number] = write_parameter(parameter, imports, scope, module)
    result = inspect.signature(function).return_annotation
    result = "Any" if result is inspect.Signature.empty else as_text(result)
    result = imports.resolve(result, scope, module, any_as="Tensor")
    with_markers = mark_kinds(parameters, texts)
    ignore = "  # type: ignore[override]" if name in NAMES_OF_OBJECT else ""
    head = f"def {name}({', '.join(with_markers)}) -> {result}:{ignore}"
    if len(head) > WIDTH - 4 * method:
        head = f"def {name}(\n    " + ",\n    ".join(with_markers) + f",\n) -> {result}:{ignore}"
    summary = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
    if len(summary) > WIDTH - 14:
        summary = summary[: WIDTH - 17].rpartition(" ")[0] + " ..."
    quoted = summary.replace("\\", "\\\\").replace('"""', "'''")
    return head + (f'\n    """{quoted}"""' if summary else " ...") + "\n"


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Those of the signature; for the callable of an operator, its inputs and attributes."""
    op = getattr(function, "op", None)
    if op is None:
        return list(inspect.signature(function).parameters.values())
    forward = list(inspect.signature(op.forward).parameters.values())[1:]
    return [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in forward]


def write_parameter(
    parameter: inspect.Parameter, imports: Imports, scope: dict[str, Any], module: str
) -> str:
    text = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }.get(parameter.kind, "") + parameter.name
    default = ""
    if parameter.default is not inspect.Parameter.empty:
        plain = parameter.default is None or isinstance(
            parameter.default, bool | int | float | str | tuple
        )
        default = repr(parameter.default) if plain else "..."
    if parameter.annotation is not inspect.Parameter.empty:
        annotation = as_text(parameter.annotation)
        text += ": " + imports.resolve(annotation, scope, module, any_as="Any")
    elif parameter.name != "self":
        text += ": " + imports.resolve("Any", scope, module, any_as="Any")
    return text + (f" = {default}" if default else "")


def mark_kinds(parameters: list[inspect.Parameter], texts: list[str]) -> list[str]:
    """`texts` with the bare `*` and `/` where the kinds of the parameters ask for them."""
    marked = []
    previous = None
    star_seen = False
    for parameter, text in zip(parameters, texts, strict=True):
        if previous is inspect.Parameter.POSITIONAL_ONLY and parameter.kind is not previous:
            marked.append("/")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star_seen:
            marked.append("*")
            star_seen = True
        star_seen |= parameter.kind is inspect.Parameter.VAR_POSITIONAL
        marked.append(text)
        previous = parameter.kind
    return [*marked, "/"] if previous is inspect.Parameter.POSITIONAL_ONLY else marked


def as_text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


if __name__ == "__main__":
    sys.exit(main())
