"""Every setting of the served model, read once from config.yaml and the environment, then frozen."""

from collections.abc import Mapping
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

from utils.engine_fields import ANYTHING, Where, check_engine_args, engine_fields, fits
from utils.errors import ConfigError, nearest
from utils.masking import masked, masked_text, shown
from utils.request import DEFAULT_SYSTEM_PROMPT, Text, encodable
from utils.strict_yaml import parse, problem

ENVIRONMENT_PREFIX = "COG_VLLM_"
CONFIG_PATH_VARIABLE = "COG_VLLM_CONFIG"
DEFAULT_CACHE = "~/.cache/cog-vllm"
LARGEST_FILE = 1 << 20
"""Bytes. A config is a page of text; a larger file is a mistake, such as weights given for it."""

_SECRET_KEYS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("hf_token", "huggingface_token", "hugging_face_hub_token"), "HF_TOKEN")
)


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


def _read_yaml(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        values = parse(text)
    except RecursionError as exc:
        raise ConfigError(f"{path} is nested too deep: give lines of the form `key: value`") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"{path} is not YAML{problem(exc)}. Give lines of the form `key: value`") from exc
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
        return {inner[0]: _typed(text, engine_fields().get(inner[0], ANYTHING))}
    value = _typed(text, ANYTHING)
    if not isinstance(value, dict):
        raise ConfigError(f"{variable} is {shown(text)}: give a JSON object")
    return value


def _field_of_setting(key: str) -> Mapping[str, Any]:
    kind = "boolean" if "bool" in str(Config.model_fields[key].annotation) else "string"
    return {"kinds": (kind,), "choices": ()}


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _typed(text: str, field: Mapping[str, Any]) -> Any:
    """Read the text of a variable as what its setting takes, else as it is; what does not fit is refused later."""
    if "boolean" in field["kinds"] and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        value = parse(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    taken = fits(value, field) or "string" not in field["kinds"]
    return value if taken and not isinstance(value, str) else text


def _merged(values: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the variables over the file; a file's engine_args that are no mapping stay, to be refused."""
    in_file = values.get("engine_args")
    both = {**values, **variables}
    if in_file is not None:
        further = variables.get("engine_args", {})
        both["engine_args"] = {**in_file, **further} if isinstance(in_file, dict) else in_file
    return both


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
    return f"{setting} is {shown(first['input'])}: {reason}. {Config.model_fields[key].description}"
