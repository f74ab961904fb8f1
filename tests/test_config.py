"""config.yaml and the environment: what is taken, and the message for everything else."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from utils.config import Config, check_engine_args, config_path, engine_fields, load_config
from utils.errors import ConfigError, InvalidEngineArgs

PROJECT = Path(__file__).resolve().parent.parent
SIGNED = "https://user:PASSWORD@bucket.example/model.tar?X-Signature=SIGNATURE"

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a config of the given text, with `{path}` in messages standing for the file."""

    def loaded(text: str | bytes, **environment: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(path, environment)

    return loaded


def refusal(load: Load, text: str | bytes, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **(environment or {}))
    shown = "".join(traceback.format_exception(caught.value))
    assert "SIGNATURE" not in shown
    assert "PASSWORD" not in shown
    return str(caught.value)


def test_committed_config_names_the_demo() -> None:
    config = load_config(PROJECT / "config.yaml", {})
    assert (config.model_id, config.weights_source) == ("cog-vllm/demo-chat", "demo/model.tar")
    assert config.engine_args == {}
    assert config.log_prompts


def test_every_key_of_the_config_is_in_the_committed_file() -> None:
    text = (PROJECT / "config.yaml").read_text()
    assert [key for key in Config.model_fields if f"{key}:" not in text] == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("model_id: org/name", "hf://org/name"),
        ("model_id: org/name\nmodel_url: null", "hf://org/name"),
        ("model_id: org/name\nmodel_url: weights.tar", "weights.tar"),
        (f"model_id: org/name\nmodel_url: {SIGNED}", SIGNED),
        ("model_id: a\nmodel_url: hf://org/name@v1", "hf://org/name@v1"),
        ("\ufeffmodel_id: org/name", "hf://org/name"),
        ("# comment\r\nmodel_id: org/name\r\n", "hf://org/name"),
    ],
)
def test_where_the_weights_come_from(load: Load, text: str, source: str) -> None:
    assert load(text).weights_source == source
    assert type(load(text).weights_source) is str


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: give at least model_id, and model_url where the weights are"),
        ("# only a comment", "is empty: give at least model_id"),
        ("~", "is empty: give at least model_id"),
        ("just text", "holds a str: give lines of the form `key: value`"),
        ("- a\n- b", "holds a list: give lines"),
        ("5", "holds a int: give lines"),
        (b"\x80\x81", "is not text (byte 0 is not UTF-8): give a YAML file"),
        ("model_id: x".encode("utf-16"), "is not text (byte 0 is not UTF-8)"),
        (b"model_id: a\0b", "is not YAML: unacceptable character #x0000"),
        ("model_id: a: b", "is not YAML, line 1: mapping values are not allowed here"),
        ("model_id: [a", "is not YAML, line 1: "),
        ("a:\n\tb: c", "is not YAML, line 2: found character '\\t'"),
        ("a: 1\n---\na: 2", "is not YAML, line 2: but found another document"),
        ("model_id: a\nmodel_id: b", "is not YAML, line 2: the key 'model_id' is there twice"),
        ("model_id: a\nengine_args:\n  seed: 1\n  seed: 2", "is not YAML, line 4: the key 'seed' is there twice"),
        ("[a]: 1", "is not YAML, line 1: a key must be a plain word"),
        ("{a: b}: 1", "is not YAML, line 1: a key must be a plain word"),
        ("model_id: &a x\nmodel_url: *a", "is not YAML, line 2: aliases (*name) are not taken here"),
        ("model_id: !!python/object:os.system x", "is not YAML, line 1: tags (!name) are not taken here"),
        ("model_id: !!bool maybe", "is not YAML, line 1: tags (!name) are not taken here"),
        ("? !!set {a}\n: 1", "is not YAML, line 1: tags (!name) are not taken here"),
        ("model_id: 2024-13-45", "is not YAML: month must be in 1..12"),
        pytest.param("model_id: " + "9" * 5000, "is not YAML: Exceeds the limit", id="thousands of digits"),
        pytest.param("a: " + "[" * 50_000, "is nested too deep: give lines", id="deep brackets"),
        pytest.param("- " * 50_000, "is nested too deep: give lines", id="deep list"),
        pytest.param("#" * (1 << 20) + "\n", "is larger than 1048576 bytes: is it a config file?", id="huge"),
    ],
)
def test_what_is_no_config_is_refused(load: Load, text: str | bytes, message: str, tmp_path: Path) -> None:
    assert f"E2001: {tmp_path / 'config.yaml'} {message}" in refusal(load, text)


def test_alias_bomb_is_refused_before_it_grows(load: Load) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "aliases (*name) are not taken here" in refusal(load, "\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_url: a.tar", "model_id is missing: Name of the model"),
        ("model_id: ''", "model_id is '': String should have at least 1 character. Name of the model"),
        ("model_id: 5", "model_id is 5: should be a valid string. Name of the model"),
        ("model_id: no", "model_id is False: should be a valid string"),
        ("model_id:", "model_id is None: should be a valid string"),
        ("model_id: a\nmodel_url: ''", "model_url is '': String should have at least 1 character. Where the weights"),
        ("model_id: a\nmodel_url: [b]", "model_url is ['b']: should be a valid string. Where the weights are"),
        ("model_id: a\nis_instruct: 'true'", "is_instruct is 'true': should be a valid boolean. Whether the model"),
        ("model_id: a\nis_instruct: 1", "is_instruct is 1: should be a valid boolean"),
        ("model_id: a\nlog_prompts:", "log_prompts is None: should be a valid boolean"),
        ("model_id: a\nprompt_template: ''", "prompt_template is '': String should have at least 1 character"),
        ("model_id: a\nprompt_template: {prompt}", "prompt_template is {'prompt': None}: should be a valid string"),
        ("model_id: a\nsystem_prompt: 5", "system_prompt is 5: should be a valid string. Default system prompt"),
        ('model_id: a\nsystem_prompt: "\\uD800"', "system_prompt is '\\ud800': holds half of a surrogate pair"),
        ("model_id: a\ncache_dir: ''", "cache_dir is '': String should have at least 1 character"),
        ("model_id: a\nengine_args: [a]", "engine_args is ['a']: should be a valid dictionary"),
        ("model_id: a\nengine_args: a", "engine_args is 'a': should be a valid dictionary"),
        ("model_id: a\nengine_args: {5: 6}", "engine_args.5 is 5: should be a valid string"),
        ("model_id: a\nmodelurl: b", "the key 'modelurl' is unknown: did you mean model_url?"),
        ("model_id: a\nmax_model_len: 5", "the key 'max_model_len' is unknown: "),
        ("model_id: a\nModel_Id: b", "the key 'Model_Id' is unknown: did you mean model_id?"),
        ("on: a", "the key True is unknown: no known name is close to it"),
        ("model_id: a\nhf_token: hf_x", "hf_token is a secret, which is taken from the environment only: set HF_TOKEN"),
        ("HF_TOKEN: hf_x", "HF_TOKEN is a secret, which is taken from the environment only: set HF_TOKEN"),
        (
            "model_id: a\nis_instruct: false\nsystem_prompt: b",
            "is_instruct is false and system_prompt is set: a base model takes no system prompt; remove one of them",
        ),
    ],
)
def test_bad_setting_is_named_with_its_file_key_value_and_form(
    load: Load, text: str, message: str, tmp_path: Path
) -> None:
    said = refusal(load, text)
    assert f"E2001: {tmp_path / 'config.yaml'}: {message}" in said
    assert "hf_x" not in said
    said.encode()


@pytest.mark.parametrize(
    "text",
    [
        "model_id: a\nis_instruct: false\nsystem_prompt: ''",
        "model_id: a\nis_instruct: false",
        "model_id: a\nis_instruct: false\nsystem_prompt: b\nprompt_template: '{system_prompt} {prompt}'",
        "model_id: a\nsystem_prompt: b",
        "model_id: a\nis_instruct: true\nsystem_prompt: b",
    ],
)
def test_settings_that_agree_are_taken(load: Load, text: str) -> None:
    assert load(text).model_id == "a"


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        (f"model_url: {SIGNED}", {}),
        (f"model_id: a\nmodel_url: [{SIGNED}]", {}),
        (f"model_id: 5\nmodel_url: {SIGNED}", {}),
        (f"model_id: a\nmodel_url: {SIGNED}: b", {}),
        (f"model_id: a\nmodel_url: '{SIGNED}", {}),
        (f"model_id: a\nmodel_url: {SIGNED}\nmodel_url: b", {}),
        (f"model_id: a\nmodelurl: {SIGNED}", {}),
        (f"model_id: a\nis_instruct: {SIGNED}", {}),
        (f"model_id: a\nengine_args: {SIGNED}", {}),
        (f"model_id: a\nengine_args:\n  max_model_len: {SIGNED}", {}),
        (f"model_id: a\nengine_args:\n  max_model_len: [{SIGNED}]", {}),
        ("model_id: a", {"COG_VLLM_ENGINE_ARGS": SIGNED}),
        ("model_id: a", {"COG_VLLM_ENGINE_ARGS": "{" + SIGNED}),
        ("model_id: a", {"COG_VLLM_IS_INSTRUCT": SIGNED}),
        ("model_id: a", {"COG_VLLM_MODELURL": SIGNED}),
        ("model_id: a", {"COG_VLLM_ENGINE_ARGS__SEED": SIGNED}),
        ("is_instruct: true", {"COG_VLLM_MODEL_URL": SIGNED}),
    ],
)
def test_signature_is_in_no_message_and_no_traceback(load: Load, text: str, environment: dict[str, str]) -> None:
    refusal(load, text, environment)


def test_signature_is_in_no_printed_config(load: Load) -> None:
    config = load(f"model_id: a\nmodel_url: {SIGNED}\nengine_args:\n  tokenizer: {SIGNED}")
    printed = f"{config} {config!r} {config.model_url} {config.model_url!r} {[config]}"
    assert "SIGNATURE" not in printed
    assert "PASSWORD" not in printed
    assert "https://***@bucket.example/model.tar?***" in printed
    assert config.engine_args["tokenizer"] == SIGNED


@pytest.mark.parametrize(
    ("environment", "changed"),
    [
        ({"COG_VLLM_MODEL_ID": "b"}, {"model_id": "b"}),
        ({"COG_VLLM_MODEL_URL": "b.tar"}, {"model_url": "b.tar"}),
        ({"COG_VLLM_IS_INSTRUCT": "false"}, {"is_instruct": False}),
        ({"COG_VLLM_IS_INSTRUCT": ""}, {"is_instruct": None}),
        ({"COG_VLLM_IS_INSTRUCT": "TRUE"}, {"is_instruct": True}),
        ({"COG_VLLM_LOG_PROMPTS": "0"}, {"log_prompts": False}),
        ({"COG_VLLM_LOG_PROMPTS": "off"}, {"log_prompts": False}),
        ({"COG_VLLM_SYSTEM_PROMPT": ""}, {"system_prompt": ""}),
        ({"COG_VLLM_SYSTEM_PROMPT": "5"}, {"system_prompt": "5"}),
        ({"COG_VLLM_SYSTEM_PROMPT": "null"}, {"system_prompt": "null"}),
        ({"COG_VLLM_SYSTEM_PROMPT": "'quoted' # kept"}, {"system_prompt": "'quoted' # kept"}),
        ({"COG_VLLM_PROMPT_TEMPLATE": "{prompt}"}, {"prompt_template": "{prompt}"}),
        ({"COG_VLLM_PROMPT_TEMPLATE": "[INST] {prompt}"}, {"prompt_template": "[INST] {prompt}"}),
        ({"COG_VLLM_CACHE_DIR": "/weights"}, {"cache_dir": "/weights"}),
        ({"COG_VLLM_CONFIG": "elsewhere.yaml", "PATH": "x", "VLLM_X": "1"}, {}),
    ],
)
def test_environment_wins_over_the_file(load: Load, environment: dict[str, str], changed: dict[str, Any]) -> None:
    text = "model_id: a\nmodel_url: a.tar\nis_instruct: true\nsystem_prompt: a\nprompt_template: '{system_prompt}'"
    assert load(text, **environment).model_dump() == {**load(text).model_dump(), **changed}


@pytest.mark.parametrize(
    ("environment", "engine_args"),
    [
        ({"ENGINE_ARGS__MAX_MODEL_LEN": "4096"}, {"seed": 1, "max_model_len": 4096}),
        ({"ENGINE_ARGS__SEED": "2"}, {"seed": 2}),
        ({"ENGINE_ARGS__ENFORCE_EAGER": "true"}, {"seed": 1, "enforce_eager": True}),
        ({"ENGINE_ARGS__ENFORCE_EAGER": "0"}, {"seed": 1, "enforce_eager": False}),
        ({"ENGINE_ARGS__DTYPE": "half"}, {"seed": 1, "dtype": "half"}),
        ({"ENGINE_ARGS__GPU_MEMORY_UTILIZATION": "9e-1"}, {"seed": 1, "gpu_memory_utilization": 0.9}),
        ({"ENGINE_ARGS__MAX_LORA_RANK": "16"}, {"seed": 1, "max_lora_rank": 16}),
        ({"ENGINE_ARGS__OPTIMIZATION_LEVEL": "2"}, {"seed": 1, "optimization_level": 2}),
        ({"ENGINE_ARGS__OPTIMIZATION_LEVEL": "O1"}, {"seed": 1, "optimization_level": "O1"}),
        ({"ENGINE_ARGS__SERVED_MODEL_NAME": "123"}, {"seed": 1, "served_model_name": "123"}),
        ({"ENGINE_ARGS__SERVED_MODEL_NAME": '["a", "b"]'}, {"seed": 1, "served_model_name": ["a", "b"]}),
        ({"ENGINE_ARGS__TOKENIZER": "{odd"}, {"seed": 1, "tokenizer": "{odd"}),
        ({"ENGINE_ARGS__TOKENIZER": "2024-01-01"}, {"seed": 1, "tokenizer": "2024-01-01"}),
        ({"ENGINE_ARGS__MAX_MODEL_LEN": "null"}, {"seed": 1, "max_model_len": None}),
        (
            {"ENGINE_ARGS__HF_OVERRIDES": '{"a": [1, 1e-3]}'},
            {"seed": 1, "hf_overrides": {"a": [1, 1e-3]}},
        ),
        ({"ENGINE_ARGS": '{"seed": 3, "dtype": "half"}'}, {"seed": 3, "dtype": "half"}),
        ({"ENGINE_ARGS": "{}"}, {"seed": 1}),
        ({"ENGINE_ARGS__SEED": "4", "ENGINE_ARGS": '{"seed": 3, "dtype": "half"}'}, {"seed": 4, "dtype": "half"}),
    ],
)
def test_engine_args_of_the_environment_join_those_of_the_file(
    load: Load, environment: dict[str, str], engine_args: dict[str, Any]
) -> None:
    variables = {f"COG_VLLM_{name}": text for name, text in environment.items()}
    assert load("model_id: a\nengine_args: {seed: 1}", **variables).engine_args == engine_args
    without = {name: value for name, value in engine_args.items() if name != "seed" or value != 1}
    assert load("model_id: a\nengine_args:", **variables).engine_args == without


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "COG_VLLM_MODEL_URLL",
            "b",
            "the environment variable COG_VLLM_MODEL_URLL is unknown: did you mean COG",
        ),
        ("COG_VLLM_", "b", "the environment variable COG_VLLM_ is unknown"),
        ("COG_VLLM_HF_TOKEN", "hf_x", "the environment variable COG_VLLM_HF_TOKEN is unknown"),
        ("COG_VLLM_MODEL_ID__X", "b", "the environment variable COG_VLLM_MODEL_ID__X is unknown: model_id has nothing"),
        (
            "COG_VLLM_ENGINE_ARGS__A__B",
            "b",
            "COG_VLLM_ENGINE_ARGS__A__B goes too deep: give COG_VLLM_ENGINE_ARGS__A",
        ),
        ("COG_VLLM_IS_INSTRUCT", "maybe", "COG_VLLM_IS_INSTRUCT is 'maybe': should be a valid boolean. Whether the"),
        ("COG_VLLM_LOG_PROMPTS", "", "COG_VLLM_LOG_PROMPTS is None: should be a valid boolean"),
        ("COG_VLLM_SYSTEM_PROMPT", "\udcff", "COG_VLLM_SYSTEM_PROMPT is '\\udcff': holds half of a surrogate pair"),
        ("COG_VLLM_MODEL_ID", "", "COG_VLLM_MODEL_ID is '': String should have at least 1 character. Name of"),
        ("COG_VLLM_ENGINE_ARGS", "[1]", "COG_VLLM_ENGINE_ARGS is '[1]': give a JSON object"),
        ("COG_VLLM_ENGINE_ARGS", "", "COG_VLLM_ENGINE_ARGS is '': give a JSON object"),
        ("COG_VLLM_ENGINE_ARGS", "{", "COG_VLLM_ENGINE_ARGS is '{': give a JSON object"),
        ("COG_VLLM_ENGINE_ARGS__MAX_MODEL_LEN", "4k", "COG_VLLM_ENGINE_ARGS__MAX_MODEL_LEN is '4k': give an integer"),
        ("COG_VLLM_ENGINE_ARGS__SEED", "2024-13-45", "COG_VLLM_ENGINE_ARGS__SEED is '2024-13-45': give an integer"),
        ("COG_VLLM_ENGINE_ARGS__SEED", "*a", "COG_VLLM_ENGINE_ARGS__SEED is '*a': give an integer"),
        pytest.param("COG_VLLM_ENGINE_ARGS__SEED", "[" * 9999, "COG_VLLM_ENGINE_ARGS__SEED is '[[[", id="deep"),
        ("COG_VLLM_ENGINE_ARGS__ENFORCE_EAGER", "2", "COG_VLLM_ENGINE_ARGS__ENFORCE_EAGER is 2: give true or false"),
        (
            "COG_VLLM_ENGINE_ARGS",
            '{"sed": 1}',
            "COG_VLLM_ENGINE_ARGS is not a field of vLLM's AsyncEngineArgs: did you",
        ),
        (
            "COG_VLLM_ENGINE_ARGS__SED",
            "1",
            "COG_VLLM_ENGINE_ARGS__SED is not a field of vLLM's AsyncEngineArgs: did you",
        ),
        ("COG_VLLM_ENGINE_ARGS__MODEL", "x", "COG_VLLM_ENGINE_ARGS__MODEL is not taken: the model is what model_url"),
    ],
)
def test_bad_variable_is_named(load: Load, variable: str, text: str, message: str) -> None:
    said = refusal(load, "model_id: a", {variable: text})
    assert message in said
    assert "hf_x" not in said


def test_contradiction_names_the_variable_that_takes_part_in_it(load: Load) -> None:
    said = refusal(load, "model_id: a\nis_instruct: false", {"COG_VLLM_SYSTEM_PROMPT": "b"})
    assert "config.yaml, COG_VLLM_SYSTEM_PROMPT: is_instruct is false and system_prompt is set" in said


def test_mistake_in_the_file_stays_one_under_a_variable_for_the_same_mapping(load: Load, tmp_path: Path) -> None:
    said = refusal(load, "model_id: a\nengine_args: [b]", {"COG_VLLM_ENGINE_ARGS__SEED": "1"})
    assert f"{tmp_path / 'config.yaml'}: engine_args is ['b']: should be a valid dictionary" in said


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model", "x", "here is not taken: the model is what model_url brings: set model_id and model_url instead"),
        ("hf_token", "x", "here is not taken: secrets are taken from the environment only: set HF_TOKEN"),
        ("max_modl_len", 1, "here is not a field of vLLM's AsyncEngineArgs: did you mean max_model_len?"),
        ("MAX_MODEL_LEN", 1, "here is not a field of vLLM's AsyncEngineArgs: did you mean max_model_len?"),
        ("", 1, "here is not a field of vLLM's AsyncEngineArgs: no known name is close to it"),
        ("max_model_len", "4096", "here is '4096': give an integer or nothing"),
        ("max_model_len", 4096.0, "here is 4096.0: give an integer or nothing"),
        ("max_model_len", True, "here is True: give an integer or nothing"),
        ("enforce_eager", "true", "here is 'true': give true or false"),
        ("enforce_eager", 1, "here is 1: give true or false"),
        ("enforce_eager", None, "here is None: give true or false"),
        ("gpu_memory_utilization", "0.9", "here is '0.9': give a number"),
        ("dtype", "fp16", "here is 'fp16': give one of auto, half, float16"),
        ("max_lora_rank", 7, "here is 7: give one of 1, 8, 16"),
        ("max_lora_rank", True, "here is True: give one of 1, 8, 16"),
        ("tokenizer", ["a"], "here is ['a']: give nothing or a string"),
        ("served_model_name", {}, "here is {}: give a list or nothing or a string"),
    ],
)
def test_bad_engine_argument_is_named_with_what_it_takes(name: str, value: object, message: str) -> None:
    with pytest.raises(InvalidEngineArgs) as caught:
        check_engine_args({name: value}, lambda setting: "here" if setting == f"engine_args.{name}" else setting)
    assert message in str(caught.value)


def test_file_is_named_for_an_engine_argument_in_it(load: Load, tmp_path: Path) -> None:
    said = refusal(load, "model_id: a\nengine_args: {seed: x}", {"COG_VLLM_ENGINE_ARGS__DTYPE": "half"})
    assert f"E2002: {tmp_path / 'config.yaml'}: engine_args.seed is 'x': give an integer" in said


@pytest.mark.parametrize("name", sorted(set(engine_fields()) - {"model", "hf_token"}))
def test_default_of_every_engine_argument_is_taken(name: str) -> None:
    check_engine_args({name: engine_fields()[name]["default"]}, str)


def test_committed_engine_fields_can_be_named_by_the_environment() -> None:
    assert all(name == name.lower() and "__" not in name for name in engine_fields())
    assert len(engine_fields()) > 200


def test_floats_without_a_point_are_numbers(load: Load) -> None:
    config = load("model_id: a\nengine_args:\n  gpu_memory_utilization: 9e-1\n  revision: 12e4f\n")
    assert config.engine_args == {"gpu_memory_utilization": 0.9, "revision": "12e4f"}


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "config.yaml"),
        ({"COG_VLLM_CONFIG": ""}, "config.yaml"),
        ({"COG_VLLM_CONFIG": "other.yaml"}, "other.yaml"),
    ],
)
def test_path_of_the_config(environment: dict[str, str], path: str) -> None:
    assert config_path(environment) == Path(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.yaml", "does not exist: write one, or name another in COG_VLLM_CONFIG"),
        (".", "cannot be read: Is a"),
    ],
)
def test_file_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / name, {})
    assert f"{tmp_path / name} {message}" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_config_is_frozen(load: Load) -> None:
    with pytest.raises(pydantic.ValidationError):
        load("model_id: a").model_id = "b"  # type: ignore[misc]


@pytest.mark.parametrize(("cache_dir", "below_home"), [(None, ".cache/cog-vllm"), ("~/kept", "kept")])
def test_cache_folder_is_below_the_home_folder(
    cache_dir: str | None, below_home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Config(model_id="a", cache_dir=cache_dir).cache_folder == tmp_path / below_home


def test_cache_folder_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="no home folder is known for ~: set cache_dir"):
        _ = Config(model_id="a", cache_dir="~no-such-user/x").cache_folder
