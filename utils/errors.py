"""The errors this package raises, each with a code that a program can match and README's table explains.

CogVLLMError
├── InputError                 E1xxx  the request is wrong; the server is fine
│   ├── InvalidInput           E1001  an input has the wrong type or is out of bounds
│   ├── InvalidPrompt          E1002  prompt and messages are both missing, both given, or empty
│   ├── InvalidMessages        E1003  messages is not a list of role/content objects
│   ├── InvalidPromptTemplate  E1004  the request's prompt_template is neither a known name nor a literal template
│   ├── InvalidSamplingParams  E1005  sampling_params holds an unknown, refused or mistyped field
│   ├── PromptTooLong          E1006  the rendered prompt does not fit the model
│   └── TemplateRefused        E1007  the model's chat template refuses this conversation
├── ConfigError                E2001  config.yaml or the environment holds something unusable
│   ├── InvalidEngineArgs      E2002  engine_args holds an unknown or mistyped field
│   └── InvalidChatTemplate    E2003  the configured or shipped chat template cannot be used
├── WeightsError               E21xx  the weights cannot be had
│   ├── WeightsNotFound        E2101  the source does not exist or may not be read
│   ├── DownloadFailed         E2102  the transfer broke or ended short
│   ├── UnsafeArchive          E2103  the tarball is damaged or reaches outside its folder
│   └── CacheUnusable          E2104  the cache folder cannot be written, or is full
└── EngineError                E3xxx  the engine cannot do its work
    ├── EngineStartFailed      E3001  vLLM refused the model, the settings or the machine
    ├── EngineDead             E3002  the engine has stopped and this server must be restarted
    └── EngineRefused          E3003  the engine refused this one request
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar

from pydantic import ValidationError

from utils.masking import masked_text


class CogVLLMError(Exception):
    """An error with a stable code; `str()` gives `CODE: what was wrong and what to do`."""

    code: ClassVar[str] = "E0000"

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"


class InputError(CogVLLMError):
    """The request cannot be served as it is; the next one can."""

    code = "E1000"


class InvalidInput(InputError):
    """An input has the wrong type or is out of bounds."""

    code = "E1001"


class InvalidPrompt(InputError):
    """`prompt` and `messages` are both missing, both given, or empty."""

    code = "E1002"


class InvalidMessages(InputError):
    """`messages` is not a list of role/content objects that can be rendered."""

    code = "E1003"


class InvalidPromptTemplate(InputError):
    """The request's `prompt_template` is neither a known name nor a literal template."""

    code = "E1004"


class InvalidSamplingParams(InputError):
    """`sampling_params` holds a field that is unknown, refused here or mistyped."""

    code = "E1005"


class PromptTooLong(InputError):
    """The rendered prompt leaves no room for an answer."""

    code = "E1006"


class TemplateRefused(InputError):
    """The chat template raised on this conversation; the message carries its own reason."""

    code = "E1007"


class ConfigError(CogVLLMError):
    """config.yaml or the environment holds something unusable; nothing was started."""

    code = "E2001"


class InvalidEngineArgs(ConfigError):
    """`engine_args` holds a field that vLLM's AsyncEngineArgs does not take, or a value of the wrong type."""

    code = "E2002"


class InvalidChatTemplate(ConfigError):
    """The chat template of the config or the tokenizer cannot be compiled or used."""

    code = "E2003"


class WeightsError(CogVLLMError):
    """The weights cannot be brought into one complete folder."""

    code = "E2100"


class WeightsNotFound(WeightsError):
    """The source does not exist or may not be read."""

    code = "E2101"


class DownloadFailed(WeightsError):
    """The transfer broke, stalled or ended short."""

    code = "E2102"


class UnsafeArchive(WeightsError):
    """The tarball is damaged, or a member would land outside the folder."""

    code = "E2103"


class CacheUnusable(WeightsError):
    """The folder that brought weights are kept in cannot be written, or is full."""

    code = "E2104"


class EngineError(CogVLLMError):
    """The engine cannot do its work."""

    code = "E3000"


class EngineStartFailed(EngineError):
    """vLLM refused the model, the settings or the machine."""

    code = "E3001"


class EngineDead(EngineError):
    """The engine has stopped for good; the process must be restarted."""

    code = "E3002"


class EngineRefused(EngineError):
    """The engine refused this one request; the next one may pass."""

    code = "E3003"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the known name that a mistyped or shortened one is closest to, else that none is."""
    by_lower = {one.lower(): one for one in known}
    given = name.lower()[:100]
    longer = sorted((one for one in by_lower if len(given) >= 3 and one.startswith(given)), key=len)
    close = longer or difflib.get_close_matches(given, by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[close[0]]}?" if close else "no known name is close to it"


def reason(error: BaseException) -> str:
    """Return the one line of a foreign error that says what is wrong, without what was given and without signatures."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return (f"{where}: " if where else "") + first["msg"].removeprefix("Value error, ").partition("\n")[0]
    text = masked_text(getattr(error, "strerror", None) or str(error)).strip()
    if not text:
        return reason(error.__cause__) if error.__cause__ else type(error).__name__
    line, *further = text.splitlines()
    return f"{line} {further[0].strip()}" if line.endswith(":") and further else line
