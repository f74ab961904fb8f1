"""The exception tree: what the docstring draws is what the classes are."""

import re

import pytest

from utils import errors
from utils.errors import CogVLLMError, nearest

CLASSES: dict[str, type[CogVLLMError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, CogVLLMError) and value.__module__ == errors.__name__
}


def drawn_tree() -> dict[str, tuple[str | None, str | None]]:
    """Read the docstring's drawing: class → parent and code as written there."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([│├└─ ]*)([A-Z]\w+)(?: +(E[\dx]{4}) .*)?$", line):
            depth = len(match[1]) // 4
            tree[match[2]] = (above.get(depth - 1), match[3])
            above[depth] = match[2]
    return tree


def test_drawing_holds_every_class_under_its_parent() -> None:
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == {
        name: None if value is CogVLLMError else value.__bases__[0].__name__ for name, value in CLASSES.items()
    }


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_drawing_gives_the_code_of_each_class(name: str) -> None:
    _, drawn = drawn_tree()[name]
    if name == "CogVLLMError":
        assert (drawn, CLASSES[name].code) == (None, "E0000")
    else:
        assert drawn is not None
        assert re.fullmatch(drawn.replace("x", r"\d"), CLASSES[name].code)


def test_codes_are_unique_and_each_class_has_its_own() -> None:
    codes = [vars(value)["code"] for value in CLASSES.values()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"E\d{4}", code) for code in codes)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_text_of_an_error_begins_with_its_code(name: str) -> None:
    assert str(CLASSES[name]("give one")) == f"{CLASSES[name].code}: give one"
    assert CLASSES[name].__doc__


@pytest.mark.parametrize(
    ("given", "known", "answer"),
    [
        ("modl_url", ["model_id", "model_url"], "did you mean model_url?"),
        ("MAX_MODEL_LEN", ["max_model_len"], "did you mean max_model_len?"),
        ("prefix_lenient_fetch", ["PrefixLenientFetch"], "did you mean PrefixLenientFetch?"),
        ("stop", ["top_p", "top_k", "stop_sequences"], "did you mean stop_sequences?"),
        ("st", ["stop_sequences"], "no known name is close to it"),
        ("zzz", ["model_id"], "no known name is close to it"),
        ("", ["model_id"], "no known name is close to it"),
        pytest.param("x" * 1_000_000, ["model_id"], "no known name is close to it", id="a megabyte"),
        ("model_id", [], "no known name is close to it"),
    ],
)
def test_nearest_name(given: str, known: list[str], answer: str) -> None:
    assert nearest(given, known) == answer
