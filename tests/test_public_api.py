"""The public API is that of tests/public_api.txt. A change there affects users: add it to CHANGELOG.md."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import synthflow_assets

PINNED = Path(__file__).with_name("public_api.txt")


def signature(thing: Any) -> str:
    """Names, order and kind of the parameters; mypy checks the types."""
    parameters = inspect.signature(thing).parameters.values()
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    return str(inspect.Signature(plain))


def describe(name: str) -> Iterator[str]:
    """The public name and, of a class, its public methods, properties and fields."""
    thing = getattr(synthflow_assets, name)
    if not inspect.isclass(thing):
        yield f"{name}{signature(thing)}"
        return
    yield f"class {name}"
    if issubclass(thing, BaseModel):
        yield from (f"    {field}" for field in sorted(thing.model_fields))
    elif "__init__" in vars(thing) or "__new__" in vars(thing):
        yield f"    {signature(thing)}"
    for member, value in sorted(vars(thing).items()):
        ours = member not in getattr(thing, "model_fields", {}) and not hasattr(BaseModel, member)
        if ours and not member.startswith("_"):
            inner = getattr(value, "__func__", value)
            if inspect.isfunction(inner):
                yield f"    {member}{signature(inner)}"
            elif isinstance(value, property):
                yield f"    {member}"


def test_the_public_api_is_what_was_pinned(tmp_path: Path) -> None:
    found = tmp_path / PINNED.name
    found.write_text("".join(f"{line}\n" for name in sorted(synthflow_assets.__all__) for line in describe(name)))
    assert found.read_text() == PINNED.read_text(), f"if that is meant: cp {found} {PINNED}"


def test_every_public_name_is_documented_and_typed() -> None:
    for name in synthflow_assets.__all__:
        assert inspect.getdoc(getattr(synthflow_assets, name)), name
        assert name in dir(synthflow_assets)
    assert (Path(synthflow_assets.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        synthflow_assets.nonsense  # noqa: B018


def test_type_checkers_see_what_python_sees() -> None:
    # The imports that only type checkers run stand beside the table that Python imports from.
    tree = ast.parse(Path(synthflow_assets.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("synthflow_assets.")
        for alias in node.names
    }
    assert seen == {name: getattr(synthflow_assets, name).__module__ for name in synthflow_assets.__all__}
