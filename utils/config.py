"""Every setting of the served model, read once from config.yaml and the environment, then frozen."""

import io
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from utils.errors import ConfigError, InvalidEngineArgs, nearest
from utils.masking import masked, masked_text
from utils.request import DEFAULT_SYSTEM_PROMPT, Text, encodable

ENVIRONMENT_PREFIX = "COG_VLLM_"
CONFIG_PATH_VARIABLE = "COG_VLLM_CONFIG"
DEFAULT_CACHE = "~/.cache/cog-vllm"
LARGEST_FILE = 1 << 20
"""Bytes. A config is a page of text; a larger file is a mistake, such as weights given for it."""

ENGINE_FIELDS_FILE = Path(__file__).with_name("engine_fields.json")
_REFUSED_ENGINE_ARGS: Mapping[str, str] = MappingProxyType(
    {
        "model": "the model is what model_url brings: set model_id and model_url instead",
        "hf_token": "secrets are taken from the environment only: set HF_TOKEN",
    }
)
_SECRET_KEYS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("hf_token", "huggingface_token", "hugging_face_hub_token"), "HF_TOKEN")
)

Where = Callable[[str], str]
"""Names, for a setting such as `engine_args.dtype`, the file and key or the variable that holds it."""


class MaskedURL(str):
    """A location whose printed form has no signature and no password in it."""

    def __str__(self) -> str:
        return masked(str.__str__(self))

    def __repr__(self) -> str:
        return repr(str(self))


FilledText = Annotated[str, Field(min_length=1), BeforeValidator(encodable)]


class Config(BaseModel):
    """The settings of config.yaml, under the names that users of this format know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    model_id: FilledText = Field(
        description="Name of the model, as on the Hugging Face Hub; without model_url, brought from there"
    )
    model_url: Annotated[FilledText, AfterValidator(MaskedURL)] | None = Field(
        None, description="Where the weights are: http(s) URL or path of a flat tarball, or a folder"
    )
    is_instruct: bool | None = Field(
        None, description="Whether the model follows a chat template; inferred when absent"
    )
    prompt_template: FilledText | None = Field(
        None,
        description="A name from prompt_templates.py, a Jinja chat template, or text with {prompt} and {system_prompt}",
    )
    system_prompt: Text | None = Field(
        None, description=f"Default system prompt; absent: “{DEFAULT_SYSTEM_PROMPT}”, empty: none"
    )
    engine_args: Mapping[str, Any] = Field(
        default_factory=dict, description="Any field of vLLM's AsyncEngineArgs, by its name there"
    )
    log_prompts: bool = Field(True, description="Whether a prediction's log shows the rendered prompt")
    cache_dir: FilledText | None = Field(None, description=f"Where brought weights are kept; absent: {DEFAULT_CACHE}")

    @field_validator("engine_args", mode="before")
    @classmethod
    def _no_engine_args_is_none_given(cls, value: object) -> object:
        return {} if value is None else value

    @model_validator(mode="after")
    def _base_model_takes_no_system_prompt(self) -> "Config":
        if self.is_instruct is False and self.system_prompt and "{system_prompt}" not in (self.prompt_template or ""):
            raise ValueError(
                "is_instruct is false and system_prompt is set: a base model takes no system prompt; remove one of them"
            )
        return self

    def __repr__(self) -> str:
        return masked_text(super().__repr__())

    def __str__(self) -> str:
        return masked_text(super().__str__())

    @property
    def weights_source(self) -> str:
        """Where the weights come from: `model_url`, or the Hub repository `hf://MODEL_ID`."""
        return str.__str__(self.model_url) if self.model_url is not None else f"hf://{self.model_id}"

    @property
    def cache_folder(self) -> Path:
        """The folder that keeps brought weights between starts.

        Raises:
            ConfigError: `~` is in it and has no meaning for this user.
        """
        try:
            return Path(self.cache_dir or DEFAULT_CACHE).expanduser()
        except RuntimeError as exc:
            raise ConfigError("no home folder is known for ~: set cache_dir to where weights can be kept") from exc


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Read `path`, lay the COG_VLLM_ variables of `environment` over it and check the whole.

    Raises:
        ConfigError: names the file or variable, the key, its value and the accepted form.
    """
    values = _read_yaml(path)
    _refuse_unknown_keys(values, str(path))
    variables, names = _environment_values(environment)

    def where(key: str) -> str:
        return names.get(key) or f"{path}: {key}"

    try:
        config = Config(**_merged(values, variables))
    except ValidationError as exc:
        raise ConfigError(_explain(exc, where, [str(path), *names.values()])) from exc
    check_engine_args(config.engine_args, where)
    return config


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the file that COG_VLLM_CONFIG names, else config.yaml in the working folder."""
    return Path(environment.get(CONFIG_PATH_VARIABLE) or "config.yaml")


class _StrictLoader(yaml.SafeLoader):
    """YAML without repeated keys, without tags, and without aliases, which can blow a small file up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken here", problem_mark=mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem="tags (!name) are not taken here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as text, because it has no point; JSON and people read a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _parsed(text: str) -> Any:
    """Read YAML; as a stream, because PyYAML's errors quote a string's line, and a signature with it."""
    return yaml.load(io.StringIO(text), Loader=_StrictLoader)


def _read_yaml(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        values = _parsed(text)
    except RecursionError as exc:
        raise ConfigError(f"{path} is nested too deep: give lines of the form `key: value`") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"{path} is not YAML{_problem(exc)}. Give lines of the form `key: value`") from exc
    if values is None:
        raise ConfigError(f"{path} is empty: give at least model_id, and model_url where the weights are")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}: give lines of the form `key: value`")
    return values


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"{path} is larger than {LARGEST_FILE} bytes: is it a config file?")
        return content.decode()
    except FileNotFoundError as exc:
        raise ConfigError(f"{path} does not exist: write one, or name another in {CONFIG_PATH_VARIABLE}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not text (byte {exc.start} is not UTF-8): give a YAML file") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f", line {mark.line + 1}: {problem}" if mark else f": {problem}"


def _refuse_unknown_keys(values: Mapping[Any, Any], where: str) -> None:
    for key in values:
        if str(key).lower() in _SECRET_KEYS:
            raise ConfigError(
                f"{where}: {key} is a secret, which is taken from the environment only: "
                f"set {_SECRET_KEYS[str(key).lower()]} and remove the key"
            )
        if key not in Config.model_fields:
            raise ConfigError(f"{where}: the key {key!r} is unknown: {nearest(str(key), Config.model_fields)}")


def _environment_values(environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Turn COG_VLLM_ENGINE_ARGS__MAX_MODEL_LEN=4096 into {"engine_args": {"max_model_len": 4096}}.

    The second value names the variable of each setting. In order of their names, a variable
    for one engine argument comes after, and so wins over, the one for all of them.
    """
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_PATH_VARIABLE:
            continue
        key, *inner = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        _refuse_unknown_variable(variable, key, inner)
        if key == "engine_args":
            given = _engine_args_from_environment(variable, inner, environment[variable])
            values.setdefault(key, {}).update(given)
            names.update({f"{key}.{name}": variable for name in given})
        else:
            values[key] = _typed(environment[variable], _field_of_setting(key))
            names[key] = variable
    return values, names


def _refuse_unknown_variable(variable: str, key: str, inner: list[str]) -> None:
    if key not in Config.model_fields:
        known = [ENVIRONMENT_PREFIX + name.upper() for name in Config.model_fields]
        raise ConfigError(f"the environment variable {variable} is unknown: {nearest(variable, known)}")
    if inner and key != "engine_args":
        raise ConfigError(f"the environment variable {variable} is unknown: {key} has nothing inside it")
    if len(inner) > 1:
        raise ConfigError(f"{variable} goes too deep: give {ENVIRONMENT_PREFIX}ENGINE_ARGS__{inner[0].upper()} as JSON")


def _engine_args_from_environment(variable: str, inner: list[str], text: str) -> dict[str, Any]:
    if inner:
        return {inner[0]: _typed(text, engine_fields().get(inner[0], _ANYTHING))}
    value = _typed(text, _ANYTHING)
    if not isinstance(value, dict):
        raise ConfigError(f"{variable} is {_shown(text)}: give a JSON object")
    return value


_ANYTHING: Mapping[str, Any] = MappingProxyType({"kinds": ("any",), "choices": ()})


def _field_of_setting(key: str) -> Mapping[str, Any]:
    kind = "boolean" if "bool" in str(Config.model_fields[key].annotation) else "string"
    return {"kinds": (kind,), "choices": ()}


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _typed(text: str, field: Mapping[str, Any]) -> Any:
    """Read the text of a variable as what its setting takes, else as it is; what does not fit is refused later."""
    if "boolean" in field["kinds"] and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        value = _parsed(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    fits = _fits(value, field) or "string" not in field["kinds"]
    return value if fits and not isinstance(value, str) else text


def _merged(values: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the variables over the file; a file's engine_args that are no mapping stay, to be refused."""
    in_file = values.get("engine_args")
    both = {**values, **variables}
    if in_file is not None:
        further = variables.get("engine_args", {})
        both["engine_args"] = {**in_file, **further} if isinstance(in_file, dict) else in_file
    return both


@cache
def engine_fields() -> Mapping[str, Any]:
    """The fields of the pinned vLLM's AsyncEngineArgs: name → kinds, choices, default.

    The list is committed, so that a config is checked before vLLM, which takes seconds to
    import, is there; `python -m utils.engine utils/engine_fields.json` writes it anew for another version.
    """
    return MappingProxyType(json.loads(ENGINE_FIELDS_FILE.read_text())["fields"])


def check_engine_args(engine_args: Mapping[str, Any], where: Where) -> None:
    """Check names and types against the committed list.

    Raises:
        InvalidEngineArgs: names where the field is set, its value and what it takes.
    """
    fields = engine_fields()
    for name, value in engine_args.items():
        key = where(f"engine_args.{name}")
        if name in _REFUSED_ENGINE_ARGS:
            raise InvalidEngineArgs(f"{key} is not taken: {_REFUSED_ENGINE_ARGS[name]}")
        if name not in fields:
            raise InvalidEngineArgs(f"{key} is not a field of vLLM's AsyncEngineArgs: {nearest(str(name), fields)}")
        if not _fits(value, fields[name]):
            raise InvalidEngineArgs(f"{key} is {_shown(value)}: give {' or '.join(_accepted(fields[name]))}")


_KINDS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (bool, ("boolean",)),
    (int, ("integer", "number")),
    (float, ("number",)),
    (str, ("string",)),
    (list, ("array",)),
    (dict, ("object",)),
    (type(None), ("null",)),
)


def _fits(value: object, field: Mapping[str, Any]) -> bool:
    if "any" in field["kinds"]:
        return True
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value in field["choices"]:
        return True
    kinds = next((kinds for kind, kinds in _KINDS if isinstance(value, kind)), ())
    return any(kind in field["kinds"] for kind in kinds)


def _accepted(field: Mapping[str, Any]) -> Iterator[str]:
    names = {"null": "nothing", "array": "a list", "object": "a mapping", "boolean": "true or false"}
    for kind in field["kinds"]:
        yield names.get(kind, f"{'an' if kind[0] in 'ai' else 'a'} {kind}")
    if field["choices"]:
        yield f"one of {', '.join(map(str, field['choices']))}"


def _explain(error: ValidationError, where: Where, origins: list[str]) -> str:
    """Say in one line which setting is wrong; a URL is shown without its signature."""
    first = error.errors(include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if not first["loc"]:
        return f"{', '.join(origins)}: {reason}"
    key = str(first["loc"][0])
    setting = where(".".join(map(str, first["loc"][:2])))
    if first["type"] == "missing":
        return f"{setting} is missing: {Config.model_fields[key].description}"
    return f"{setting} is {_shown(first['input'])}: {reason}. {Config.model_fields[key].description}"


def _shown(value: object) -> str:
    text = masked_text(repr(masked(value) if isinstance(value, str) else value))
    return text if len(text) <= 200 else f"{text[:197]}..."
