"""The exception tree and its way over HTTP."""

from __future__ import annotations

import re

import pytest

from sparsegrad_shared import errors
from sparsegrad_shared.errors import (
    InvalidInput,
    Overloaded,
    Problem,
    ServerFault,
    SparseGradError,
    error_classes,
    from_problem,
)


@pytest.mark.parametrize("cls", error_classes().values(), ids=lambda cls: cls.__name__)
def test_every_error_is_raised_again_by_the_client_as_the_class_it_was(
    cls: type[SparseGradError],
) -> None:
    error = cls("the message", retry_after=2.5)
    travelled = from_problem(Problem.model_validate_json(error.to_problem().model_dump_json()))
    assert type(travelled) is cls
    assert (travelled.message, travelled.retry_after) == ("the message", 2.5)


def test_the_tree_that_is_drawn_is_the_tree_that_there_is() -> None:
    drawn = re.findall(
        r"^[│├└─ ]*(\w+)(?: +(\d{3}|client only))?(?:  .*)?$", errors.__doc__ or "", re.MULTILINE
    )
    names = {name for name, _ in drawn if hasattr(errors, name)}
    assert names == {cls.__name__ for cls in error_classes().values()}
    for name, status in drawn:
        if status.isdigit():
            assert getattr(errors, name).status == int(status), name


def test_types_are_stable_names() -> None:
    assert Overloaded.type_uri() == "urn:sparsegrad:error:overloaded"
    assert errors.UnknownGroup.type_uri() == "urn:sparsegrad:error:unknown-group"


@pytest.mark.parametrize(("status", "cls"), [(422, InvalidInput), (503, ServerFault)])
def test_a_problem_of_an_unknown_type_becomes_what_its_status_says(
    status: int, cls: type[SparseGradError]
) -> None:
    problem = Problem(type="urn:other:thing", title="?", status=status, detail="what happened")
    error = from_problem(problem)
    assert type(error) is cls
    assert error.message == "what happened"
