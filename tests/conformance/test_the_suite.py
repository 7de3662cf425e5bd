"""What holds of the suite itself: it knows the API alone, and speaks for every operation."""

import ast
import re
from pathlib import Path

import pytest

from tests.conformance import model
from tests.conformance.conftest import operations_of

FOLDER = Path(__file__).parent
NAMES = {name for _, name in model.operations()}


def imported(file: Path) -> set[str]:
    """The modules that a file imports, in full."""
    tree = ast.parse(file.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.name)
def test_it_imports_nothing_of_the_server(file: Path) -> None:
    ours = {name for name in imported(file) if name.partition(".")[0] in ("campana", "tests", "bench", "tools")}

    assert {name for name in ours if not name.startswith("tests.conformance")} == set()


def test_every_operation_has_its_happy_path() -> None:
    text = "".join(file.read_text("utf-8") for file in FOLDER.glob("test_happy_path_*.py"))
    marked = re.findall(r"^@operation\((.*?)\)$", text, re.MULTILINE | re.DOTALL)

    assert {name for names in marked for name in re.findall(r'"(\w+)"', names)} == NAMES


def test_every_test_speaks_for_an_operation(request: pytest.FixtureRequest) -> None:
    silent = [
        item.name
        for item in request.session.items
        if item.path.parent == FOLDER and item.path != Path(__file__) and not operations_of(item)
    ]

    assert all(name.startswith("test_every_") for name in silent), silent  # those are about a table's completeness


def test_marks_name_operations_that_there_are(request: pytest.FixtureRequest) -> None:
    marked = {name for item in request.session.items if item.path.parent == FOLDER for name in operations_of(item)}

    assert marked - NAMES == set()
