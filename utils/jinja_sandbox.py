"""A Jinja environment whose templates reach no Python internals and cannot take the machine's memory or time.

Jinja's own sandbox guards attributes. This one meters work too: each text or list that a template makes, each turn of a
loop and each call is charged to one allowance, before it is made where its size can be told beforehand. Nothing is
evaluated while compiling: Jinja would fold `{{ 'a' * 10**9 }}` into a constant there.

Not bounded: the time of one operation on values that fit the allowance, such as comparing lists that share their parts.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

from jinja2 import nodes, pass_context, pass_environment
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_indent, do_round, make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

# The allowance, in characters. A prompt costs some five times its length, because each `+` makes a new text.
WORK_LIMIT = 64_000_000
# What a call, a turn of a loop or a walk to a part of a value is charged: half a million, some seconds, are too many.
STEP = 128
# What a reference in a list is charged.
ITEM = 8
MAX_RANGE = 100_000
# The widest formatted field or indentation.
MAX_WIDTH = 999
MAX_BITS = 4096

# A `%` conversion whose width or precision is above MAX_WIDTH or taken from the arguments.
_WIDE_CONVERSION = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(?:\*|\d{4,}|\d*\.(?:\*|\d{4,}))")
# These grow their value in ways that no prompt needs.
_REFUSED_METHODS = frozenset({"expandtabs", "maketrans", "to_bytes", "translate"})
_REFUSED_FILTERS = ("batch", "pprint", "slice", "urlize", "wordwrap", "xmlattr")

T = TypeVar("T")


class Refusal(TemplateError):
    """The template called `raise_exception`; `message` is its own reason."""


class Overspent(SecurityError):
    """The template asked for more text, steps or width than a prompt can need."""


class _MeteredCode(CodeGenerator):
    """Python code that reports what an environment does not see by itself: loops, filters, slices and `~`."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        literal = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        node.body.insert(0, nodes.ExprStmt(_spending(STEP + literal), lineno=node.lineno))
        if node.test is not None:
            node.test = nodes.And(_spending(STEP), node.test, lineno=node.lineno)
        super().visit_For(node, frame)

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        self.write("environment.metered(")
        super().visit_Filter(node, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        makes_a_copy = isinstance(node.arg, nodes.Slice)
        self.write("environment.metered(" if makes_a_copy else "(")
        super().visit_Getitem(node, frame)
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


def _spending(amount: int) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute("spend"), [nodes.Const(amount)], [], None, None)


class _Generation(Extension):
    """`{% generation %}` marks the answers in templates made for training; in a prompt it is only a scope."""

    tags = {"generation"}  # noqa: RUF012 - declared so by Jinja

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class JinjaSandbox(ImmutableSandboxedEnvironment):
    """The environment of one compilation or one rendering, with the helpers that Hugging Face's templates expect.

    `work_limit` is the allowance in characters; `now` is what `strftime_now` tells, by default the local clock. A
    sandbox takes some 30 µs to make and holds the meter, so each rendering has its own and threads never share one.
    """

    code_generator_class = _MeteredCode
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *, work_limit: int = WORK_LIMIT, now: datetime | None = None) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            # Even so Jinja folds `{{ constant }}`, except where writing it needs the context of a rendering.
            finalize=_written,
            extensions=[loopcontrols, _Generation],
        )
        self.left = work_limit
        for name in _REFUSED_FILTERS:
            del self.filters[name]
        self.filters.update(_FILTERS)
        del self.globals["lipsum"]
        self.globals.update(
            raise_exception=_raise_exception,
            range=_bounded_range,
            strftime_now=_clock(now),
        )

    def spend(self, amount: int) -> bool:
        """Take `amount` characters from the allowance and return True; raise `Overspent` when it is used up."""
        self.left -= amount
        if self.left < 0:
            raise Overspent("the template makes more text, or takes more steps, than a prompt can need")
        return True

    def metered(self, value: T) -> T:
        """Charge for a value that has just been made, and return it."""
        self.spend(_size(value))
        return value

    def weight(self, value: object) -> int:
        """Return the length of `str(value)`, about; raise `Overspent` where that is more than what is left.

        A small list that holds itself many times over is long to write, so its parts are walked, not its objects.
        """
        pending, total = [value], 0
        while pending:
            item = pending.pop()
            total += _own_weight(item)
            if total > self.left:
                raise Overspent("the template writes more text than a prompt can need")
            pending.extend(_parts(item))
        return total

    def joined(self, parts: Iterable[object], separator: str = "") -> str:
        """Write the parts one after the other, charging for each before it is written."""
        texts: list[str] = []
        for part in parts:
            self.spend(self.weight(part) + len(separator) + ITEM)
            texts.append(str(part))
        return separator.join(texts)

    def replaced(self, text: str, old: str, new: str, count: int = -1) -> str:
        """`text.replace(old, new, count)`."""
        found = text.count(old) if count < 0 else min(count, text.count(old))
        self.spend(len(text) + found * len(new))
        return text.replace(old, new, count)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse also the methods that only serve to make long values."""
        if attr in _REFUSED_METHODS and isinstance(obj, str | bytes | int):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Charge an operator's result before it is made."""
        self.spend(_PRICES[operator](self, left, right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Charge a call, and its result: beforehand for the methods of texts that can make long ones of short ones."""
        __self.spend(STEP)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | bytes):
            bounded = _TEXT_METHODS.get(getattr(__obj, "__name__", ""))
            if bounded is not None:
                # Compiled templates hand these two to `Context.call`, which keeps them from the function.
                own = {key: value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars")}
                return bounded(__self, owner, *args, **own)
        return __self.metered(super().call(__context, __obj, *args, **kwargs))

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Charge for the result of a filter that another one, such as `map`, applies."""
        return self.metered(super().call_filter(name, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Give `str.format` and `str.format_map` bounded widths."""
        if super().wrap_str_format(value) is None:
            return None
        pattern, formatter = str(value.__self__), _Formatter(self)
        if value.__name__ == "format_map":
            return lambda fields: formatter.vformat(pattern, (), fields)
        return lambda *args, **kwargs: formatter.vformat(pattern, args, kwargs)


class _Formatter(SandboxedFormatter):
    def __init__(self, sandbox: JinjaSandbox) -> None:
        super().__init__(sandbox)
        self._sandbox = sandbox

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        found = super().get_field(field_name, args, kwargs)
        self._sandbox.spend(self._sandbox.weight(found[0]) + MAX_WIDTH)
        return found

    def format_field(self, value: Any, format_spec: str) -> str:
        if re.search(r"\d{4,}", format_spec):
            raise Overspent(f"a field is at most {MAX_WIDTH} characters wide")
        return super().format_field(value, format_spec)


def _size(value: object) -> int:
    """What holding `value` itself is charged, its parts not counted."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple | dict):
        return ITEM * len(cast("Collection[object]", value))
    return 0


def _own_weight(value: object) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Namespace):
        raise Overspent("a namespace cannot be written")
    return STEP


def _parts(value: object) -> Iterable[object]:
    """Return what `str(value)` writes of the values inside."""
    if isinstance(value, str | bytes | range | Undefined) or not isinstance(value, Collection):
        return ()
    if isinstance(value, Mapping):
        return [*cast("Mapping[object, object]", value).items()]
    return cast("Collection[object]", value)


def _price_of_sum(sandbox: JinjaSandbox, left: Any, right: Any) -> int:
    return _size(left) + _size(right)


def _price_of_product(sandbox: JinjaSandbox, left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return _check_bits(left.bit_length() + right.bit_length())
    size, times = (_size(right), left) if isinstance(left, int) else (_size(left), right)
    return size * max(times, 0) if isinstance(times, int) else 0


def _price_of_power(sandbox: JinjaSandbox, base: Any, exponent: Any) -> int:
    if isinstance(base, int) and isinstance(exponent, int):
        return _check_bits(base.bit_length() * exponent)
    return 0


def _price_of_remainder(sandbox: JinjaSandbox, left: Any, right: Any) -> int:
    if isinstance(left, bytes):
        raise Overspent("bytes are not formatted here")
    if not isinstance(left, str):
        return 0
    if _WIDE_CONVERSION.search(left):
        raise Overspent(f"a field is at most {MAX_WIDTH} characters wide")
    return len(left) + left.count("%") * (sandbox.weight(right) + MAX_WIDTH)


def _check_bits(bits: int) -> int:
    if bits > MAX_BITS:
        raise Overspent(f"an integer of {bits} bits: at most {MAX_BITS}")
    return 0


_PRICES: dict[str, Callable[[JinjaSandbox, Any, Any], int]] = {
    "+": _price_of_sum,
    "*": _price_of_product,
    "**": _price_of_power,
    "%": _price_of_remainder,
}


def _padding(name: str) -> Callable[..., Any]:
    """`str.center` and its like, charged beforehand."""

    def padded(sandbox: JinjaSandbox, text: Any, width: int, *fill: Any) -> Any:
        sandbox.spend(max(width, len(text)))
        return getattr(text, name)(width, *fill)

    return padded


_TEXT_METHODS: dict[str, Callable[..., Any]] = {
    "join": lambda sandbox, text, parts: sandbox.joined(_texts(parts), text),
    "replace": JinjaSandbox.replaced,
    **{name: _padding(name) for name in ("center", "ljust", "rjust", "zfill")},
}


def _texts(parts: Iterable[object]) -> Iterable[str]:
    """`str.join` takes texts only, and so must what stands for it."""
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"join() takes texts, not {type(part).__name__}")
        yield part


@pass_context
def _written(context: Context, value: T) -> T:
    sandbox = cast("JinjaSandbox", context.environment)
    sandbox.spend(sandbox.weight(value))
    return value


@pass_environment
def _center(sandbox: JinjaSandbox, value: object, width: int = 80) -> str:
    sandbox.spend(sandbox.weight(value) + max(width, 0))
    return str(value).center(width)


@pass_environment
def _format(sandbox: JinjaSandbox, value: object, *args: Any, **kwargs: Any) -> str:
    pattern = str(value)
    sandbox.spend(_price_of_remainder(sandbox, pattern, kwargs or args))
    return pattern % (kwargs or args)


@pass_environment
def _indent(sandbox: JinjaSandbox, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    columns = len(width) if isinstance(width, str) else width
    sandbox.spend(len(s) + (len(s.splitlines()) + 1) * (max(columns, 0) + 1))
    return do_indent(s, width, first, blank)


@pass_environment
def _join(sandbox: JinjaSandbox, value: Iterable[object], d: str = "", attribute: str | int | None = None) -> str:
    parts = value if attribute is None else map(make_attrgetter(sandbox, attribute), value)
    return sandbox.joined(parts, str(d))


@pass_environment
def _replace(sandbox: JinjaSandbox, s: object, old: object, new: object, count: int | None = None) -> str:
    return sandbox.replaced(str(s), str(old), str(new), -1 if count is None else count)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > 100:
        raise Overspent(f"round takes a precision up to 100, not {precision}")
    return do_round(value, precision, method)


@pass_environment
def _string(sandbox: JinjaSandbox, value: object) -> str:
    sandbox.weight(value)
    return value if isinstance(value, str) else str(value)


@pass_context
def _sum(context: Context, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    sandbox = cast("JinjaSandbox", context.environment)
    terms = iterable if attribute is None else map(make_attrgetter(sandbox, attribute), iterable)
    for term in terms:
        sandbox.spend(STEP)
        start = sandbox.call_binop(context, "+", start, term)
    return start


@pass_environment
def _tojson(
    sandbox: JinjaSandbox,
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers' `tojson` writes it: Jinja's own escapes HTML. It comes in pieces, each charged for."""
    if indent is not None and (len(indent) if isinstance(indent, str) else indent) > MAX_WIDTH:
        raise Overspent(f"tojson indents by {MAX_WIDTH} at most")
    sandbox.weight(x)
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return sandbox.joined(encoder.iterencode(x))


_FILTERS: dict[str, Callable[..., Any]] = {
    "center": _center,
    "format": _format,
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "string": _string,
    "sum": _sum,
    "tojson": _tojson,
}


def _raise_exception(message: object) -> None:
    raise Refusal(str(message))


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise Overspent(f"a range of {len(numbers)} numbers: at most {MAX_RANGE}")
    return numbers


def _clock(now: datetime | None) -> Callable[[str], str]:
    return lambda pattern: (now or datetime.now()).strftime(pattern)
