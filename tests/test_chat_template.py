"""Chat templates: the published texts of the conformance data, system texts, ends of turns, and hostile templates."""

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from utils.chat_template import ChatTemplate, merge_system
from utils.errors import InvalidChatTemplate, TemplateRefused
from utils.jinja_sandbox import JinjaSandbox

ROOT = Path(__file__).parent.parent
DATA = json.loads((ROOT / "tests/data/chat_templates.json").read_text("utf-8"))
PUBLISHED = [family for family in DATA["families"] if family["chat_template"]]
CASES = [
    pytest.param(family, case, id=f"{family['family']}-{case['name']}")
    for family in PUBLISHED
    for case in family["cases"]
]
THAT_DAY = datetime(2024, 7, 26)
HELLO = [{"role": "user", "content": "Hello"}]

# These two write nothing after an answer; the others close it with one of their stop tokens.
CLOSES_NO_TURN = {"falcon-180b-chat", "solar-instruct"}


def published(family: dict[str, Any]) -> ChatTemplate:
    return ChatTemplate(
        family["chat_template"], bos_token=family["bos_token"], eos_token=family["eos_token"], origin=family["family"]
    )


def rendered(source: str, messages: list[dict[str, Any]] = HELLO, **options: Any) -> str:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(messages, **options)


def family_ids(family: dict[str, Any]) -> str:
    return family["family"]


@pytest.mark.parametrize(("family", "case"), CASES)
def test_a_published_template_gives_the_published_prompt(family: dict[str, Any], case: dict[str, Any]) -> None:
    template = published(family)
    if "raises" in case:
        with pytest.raises(TemplateRefused) as refusal:
            template.render(case["messages"], now=THAT_DAY)
        assert case["raises"] in str(refusal.value)
        assert refusal.value.__cause__ is not None
    else:
        prompt = template.render(case["messages"], add_generation_prompt=case["add_generation_prompt"], now=THAT_DAY)
        assert prompt == case["expected"]


@pytest.mark.parametrize(("family", "case"), CASES)
def test_a_system_text_is_never_lost_in_a_conversation(family: dict[str, Any], case: dict[str, Any]) -> None:
    prompt = published(family).render_conversation(case["messages"], now=THAT_DAY)
    assert prompt == case.get("merged_expected", case["expected"])


@pytest.mark.parametrize("family", PUBLISHED, ids=family_ids)
def test_taking_a_system_text_is_found_out_by_rendering_one(family: dict[str, Any]) -> None:
    assert published(family).takes_system is (family["system_role"] != "unsupported")


@pytest.mark.parametrize("family", PUBLISHED, ids=family_ids)
def test_the_text_after_an_answer_starts_with_a_stop_token(family: dict[str, Any]) -> None:
    closing = published(family).text_after_answer()
    if family["family"] in CLOSES_NO_TURN:
        assert closing == ""
    else:
        assert closing.startswith(tuple(family["stop_tokens"]))


@pytest.mark.parametrize(
    ("source", "closing"),
    [
        ("{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}", "</assistant>"),
        # Closed only when another turn follows: what opens the next turn does not count.
        (
            "{% for m in messages %}{% if not loop.first %}<end>{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}",
            "<end>",
        ),
        # Refuses a conversation that ends with an answer.
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
            "{% if messages[-1].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}",
            "<end>",
        ),
        ("{{ raise_exception('never') }}", ""),
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}<end>{% endif %}{% endfor %}", ""),
    ],
)
def test_the_end_of_turn_is_found_wherever_it_is_written(source: str, closing: str) -> None:
    assert ChatTemplate(source).text_after_answer() == closing


USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Ho"}


@pytest.mark.parametrize(
    ("messages", "merged"),
    [
        ([], []),
        ([USER, ANSWER], [USER, ANSWER]),
        ([{"role": "system", "content": "S"}, USER], [{"role": "user", "content": "S\n\nHi"}]),
        ([{"role": "system", "content": ""}, USER], [USER]),
        ([{"role": "system", "content": None}, USER], [USER]),
        (
            [{"role": "system", "content": "S"}, {"role": "system", "content": "T"}, USER, ANSWER],
            [{"role": "user", "content": "S\n\nT\n\nHi"}, ANSWER],
        ),
        ([{"role": "system", "content": "S"}], [{"role": "user", "content": "S"}]),
        ([{"role": "system", "content": "S"}, ANSWER], [{"role": "user", "content": "S"}, ANSWER]),
        ([USER, {"role": "system", "content": "S"}], [USER, {"role": "system", "content": "S"}]),
        (
            [
                {"role": "system", "content": [{"type": "text", "text": "S"}]},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            ],
            [{"role": "user", "content": [{"type": "text", "text": "S\n\n"}, {"type": "text", "text": "Hi"}]}],
        ),
    ],
)
def test_leading_system_texts_are_merged_into_the_first_user_turn(
    messages: list[dict[str, Any]], merged: list[dict[str, Any]]
) -> None:
    before = json.dumps(messages)
    assert merge_system(messages) == merged
    assert json.dumps(messages) == before


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        # As transformers writes them: no HTML escapes, no ASCII escapes, keys in their order.
        ("{{ {'b': '<é>', 'a': 1}|tojson }}", '{"b": "<é>", "a": 1}'),
        ("{{ {'b': 2, 'a': 1}|tojson(sort_keys=true) }}", '{"a": 1, "b": 2}'),
        ("{{ 'é'|tojson(ensure_ascii=true) }}", '"\\u00e9"'),
        ("{{ [1, {'a': []}]|tojson(indent=2) }}", '[\n  1,\n  {\n    "a": []\n  }\n]'),
        ("{{ {'a': [1, 2]}|tojson(separators=(',', ':')) }}", '{"a":[1,2]}'),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "Hello!"),
        ("{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "012"),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        (
            "{{ tools is none }} {{ documents is none }} {{ bos_token }} {{ pad_token is defined }}",
            "True True <s> False",
        ),
        ("{{ messages[0]['content'] ~ eos_token ~ 1 }}", "Hello</s>1"),
        ("{{ 'a-b'.split('-')|join('+') }} {{ ' x '.strip() }} {{ 'aXa'.replace('a', 'bc') }}", "a+b x bcXbc"),
        (
            "{{ 'ab'|replace('a', 'c') }} {{ 'x\ny'|indent(2) }} {{ 'a'|center(3) }}|{{ 'a'.ljust(2) }}|",
            "cb x\n  y  a |a |",
        ),
        ("{{ '%s is %d' % ('a', 1) }} {{ '{} {x:>3}'.format(1, x='b') }} {{ '%s'|format('c') }}", "a is 1 1   b c"),
        ("{{ [1, 2, 3]|sum }} {{ [{'n': 1}, {'n': 2}]|sum('n') }} {{ 2.56|round(1) }} {{ 2 ** 10 }}", "6 3 2.6 1024"),
        ("{{ messages|map(attribute='role')|join(', ') }} {{ ', '.join(['a', 'b']) }}", "user a, b"),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(5) if i is odd %}{% set ns.n = ns.n + i %}{% endfor %}"
            "{{ ns.n }}",
            "4",
        ),
    ],
)
def test_templates_find_the_helpers_they_expect(expression: str, text: str) -> None:
    assert rendered(expression, now=THAT_DAY) == text


def test_a_scope_inside_generation_does_not_leak() -> None:
    assert rendered("{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x is defined }}") == "1False"


def test_special_tokens_that_the_tokenizer_lacks_are_undefined() -> None:
    assert ChatTemplate("[{{ bos_token }}{{ eos_token is defined }}]").render(HELLO) == "[False]"


def test_variables_reach_the_template() -> None:
    assert rendered("{{ enable_thinking }}", enable_thinking=False) == "False"


def test_content_that_looks_like_jinja_stays_text() -> None:
    text = "{{ 7 * 7 }} {% raw %} {# #} {prompt} {0.__class__}"
    assert rendered("{{ messages[0].content }}", [{"role": "user", "content": text}]) == text


def test_lone_surrogates_pass_through() -> None:
    text = "a\udc80b\ud83d"
    assert rendered("{{ messages[0].content }}\udcff", [{"role": "user", "content": text}]) == text + "\udcff"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("a\nb {% if %}", "line 2"),
        ("{% for m in messages %}", "endfor"),
        ("{{ x|nope }}", "No filter named 'nope'"),
        ("{{ '", "line 1"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "nested"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "RecursionError"),
        ("{{ " + "1" * 5000 + " }}", "4300 digits"),
        ("x" * 1_000_001, "1000000 characters"),
    ],
)
def test_a_template_that_cannot_be_compiled_says_where_and_why(source: str, part: str) -> None:
    with pytest.raises(InvalidChatTemplate) as error:
        ChatTemplate(source, origin="tokenizer_config.json")
    assert str(error.value).startswith("E2003: tokenizer_config.json")
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Roles must alternate!') }}", "refuses this conversation: Roles must alternate!"),
        ("\n\n{{ messages[7].content + 'x' }}", "at its line 3: UndefinedError"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% include 'x' %}", "TypeError"),
        ("{{ ', '.join([1]) }}", "TypeError: join() takes texts, not int"),
    ],
)
def test_a_failure_while_rendering_is_a_refusal_with_its_reason(source: str, reason: str) -> None:
    with pytest.raises(TemplateRefused) as error:
        rendered(source)
    assert reason in str(error.value)
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.__class__.__base__ }}",
        "{{ messages[0].content.__class__.__mro__ }}",
        "{{ ''['__class__'].__mro__ }}",
        "{{ (''|attr('__class__')).__mro__ }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ strftime_now.__closure__[0] }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{{ messages[0].pop('content') }}",
    ],
)
def test_a_template_reaches_neither_python_nor_the_callers_messages(source: str) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(TemplateRefused, match="unsafe"):
        rendered(source, messages)
    assert messages == HELLO


DOUBLING = "{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(40) %}{% set ns.s = STEP %}{% endfor %}"
NESTING = "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}"
COPYING = (
    "{% set ns = namespace(l=[], s='a' * 20000000) %}"
    "{% for i in range(1000) %}{% set ns.l = ns.l + [STEP] %}{% endfor %}"
)
BOMBS = [
    # Folded into constants while compiling, if Jinja had its way.
    "{{ 'a' * (3*10**8) }}",
    "{{ 10**(10**8) }}",
    "{% set x = 'a' * 10**9 %}",
    "{% if 'a' * 10**9 %}{% endif %}",
    "{% autoescape 'a' * 10**9 %}x{% endautoescape %}",
    "{% autoescape 'a'|center(3000000000) %}x{% endautoescape %}",
    "{{ ['a']|map('center', 3000000000)|list }}",
    # One operation.
    "{{ 3000000000 * 'a' }}",
    "{{ [1] * 1000000000 }}",
    "{{ (1,) * 1000000000 }}",
    "{{ 'a'|center(3000000000) }}",
    "{{ 'a'.center(3000000000) }}",
    "{{ 'a'.ljust(3000000000) }}",
    "{{ 'a'|attr('rjust')(3000000000) }}",
    "{% set f = 'a'.zfill %}{{ f(3000000000) }}",
    "{{ 'a\nb'|indent(3000000000) }}",
    "{{ '%3000000000d' % 1 }}",
    "{{ '%*d' % (2000000000, 1) }}",
    "{{ '%.2000000000f' % 1 }}",
    "{{ '%(a)2000000000d' % {'a': 1} }}",
    "{{ '%2000000000d'|format(1) }}",
    "{{ '{:2000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 2000000000) }}",
    "{{ '{a:2000000000}'.format_map({'a': 1}) }}",
    "{{ [1]|tojson(indent=2000000000) }}",
    "{{ 1|round(1000000000, 'ceil') }}",
    "{{ (10).to_bytes(3000000000, 'big') }}",
    "{{ 'a\t'.expandtabs(2000000000) }}",
    "{{ 'aaaa'.translate({97: 'b' * 1000}) }}",
    "{{ range(10000000)|list }}",
    "{{ lipsum(n=1000000) }}",
    "{{ ([['a'] * 100000] * 100000)|sum(start=[]) }}",
    "{{ (['a' * 1000000] * 1000000)|map('upper')|list }}",
    # Many operations.
    *(
        DOUBLING.replace("STEP", step)
        for step in (
            "ns.s + ns.s",
            "ns.s ~ ns.s",
            "ns.s * 2",
            "[ns.s, ns.s]|join",
            "''.join([ns.s, ns.s])",
            "ns.s.replace('a', 'aa')",
            "ns.s|replace('a', 'aa')",
            "'{0}{0}'.format(ns.s)",
            "'%s%s' % (ns.s, ns.s)",
            "ns.s|indent(ns.s, true)",
        )
    ),
    "{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(40) %}"
    "{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}{% endfor %}",
    "{% set ns = namespace(n=9) %}{% for i in range(64) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    *(COPYING.replace("STEP", step) for step in ("ns.s[1:]", "ns.s.upper()", "ns.s|upper")),
    # Small values that are long to write.
    NESTING + "{{ ns.s }}",
    NESTING + "{{ ns.s|string }}",
    NESTING + "{{ ns.s|tojson }}",
    NESTING + "{{ '%s' % (ns.s,) }}",
    NESTING + "{{ '{}'.format(ns.s) }}",
    NESTING.replace("[ns.s, ns.s]", "namespace(a=ns.s, b=ns.s)") + "{{ ns.s }}",
    # Long prompts, in the open and in a block that is kept.
    "{% for i in range(100000) %}" + "y" * 1000 + "{% endfor %}",
    "{% set x %}{% for i in range(100000) %}" + "y" * 8000 + "{% endfor %}{% endset %}",
    # Loops.
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% set r = range(100000) %}{% for a in r %}{% for b in r if false %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
]


def test_no_template_takes_the_machines_memory_or_time() -> None:
    """All in one process that may have 2 GiB of addresses and 5 minutes: one bomb alone would take more."""
    program = "import sys, json, tests.test_chat_template as t; json.dump(t.defuse(t.BOMBS), sys.stdout)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    went_off = {bomb: end for bomb, end in zip(BOMBS, json.loads(done.stdout), strict=True) if end not in DEFUSED}
    assert not went_off


def test_nothing_is_evaluated_while_compiling() -> None:
    code = JinjaSandbox().compile(
        "{% set x = 'a'|upper %}{{ 'b'|upper }}{{ 'c' ~ 'd' }}{{ 1 if 2 > 1 else 3 }}", raw=True
    )
    assert "'A'" not in code
    assert "'B'" not in code
    assert "'cd'" not in code


# A refused method or global ends the template too.
DEFUSED = ("Overspent", "SecurityError", "UndefinedError")


def defuse(bombs: list[str]) -> list[str]:
    """How each rendering ended."""
    return [_end_of(bomb) for bomb in bombs]


def _end_of(bomb: str) -> str:
    try:
        rendered(bomb)
    except TemplateRefused as exc:
        return type(exc.__cause__).__name__
    return "rendered"


@pytest.mark.parametrize("content", ["a" * 1_000_000, "🙂\n" * 500_000])
def test_a_long_conversation_is_no_bomb(content: str) -> None:
    for family in PUBLISHED:
        assert content.strip() in published(family).render([{"role": "user", "content": content}])


def test_a_long_history_is_no_bomb() -> None:
    messages = [{"role": ("user", "assistant")[i % 2], "content": f"Turn {i}."} for i in range(5001)]
    for family in PUBLISHED:
        assert "Turn 5000." in published(family).render(messages)


def test_the_length_of_a_prompt_is_bounded_where_it_was_asked_for() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", max_chars=10)
    assert template.render([{"role": "user", "content": "0123456789"}]) == "0123456789"
    with pytest.raises(TemplateRefused, match="longer than 10 characters"):
        template.render([{"role": "user", "content": "0123456789a"}])


def test_renderings_in_several_threads_do_not_mix() -> None:
    template = ChatTemplate("{% for i in range(2000) %}{{ messages[0].content }}{% endfor %}{{ strftime_now('%Y') }}")

    def render(number: int) -> str:
        return template.render([{"role": "user", "content": f"<{number}>"}], now=datetime(2000 + number, 1, 1))

    with ThreadPoolExecutor(8) as pool:
        prompts = list(pool.map(render, range(64)))
    assert prompts == [f"<{number}>" * 2000 + str(2000 + number) for number in range(64)]
