"""The commands behind script/predict and script/serve."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from utils.config import config_path, load_config
from utils.errors import CogVLLMError, InvalidInput, nearest
from utils.local_server import PROJECT, LocalServer, check_port_is_free, free_port

DEFAULT_PORT = 5000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 1 for a failed prediction, 2 for a wrong call or config."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    os.chdir(PROJECT)
    try:
        load_config(config_path(os.environ), os.environ)
        return options.command(options)
    except CogVLLMError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cog-vllm")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="start the model, answer one prompt, stop", prog="script/predict")
    predict.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='an input of the prediction, such as -i prompt="Who are you?"; may be repeated',
    )
    predict.set_defaults(command=_predict)
    serve = commands.add_parser("serve", help="start the model and serve until interrupted", prog="script/serve")
    serve.add_argument(
        "--port", type=int, default=os.environ.get("PORT", str(DEFAULT_PORT)), help="default: PORT, else 5000"
    )
    serve.set_defaults(command=_serve)
    for command in (predict, serve):
        command.add_argument("-v", "--verbose", action="store_true", help="show the whole log of the server")
    return parser


def _exit_on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _predict(options: argparse.Namespace) -> int:
    given = _split_inputs(options.input)
    with _server(free_port(), options.verbose) as server:
        inputs = _typed_inputs(given, httpx.get(f"{server.url}/openapi.json").json())
        return _print_answer(server.url, inputs)


def _serve(options: argparse.Namespace) -> int:
    check_port_is_free(options.port)
    with _server(options.port, options.verbose) as server:
        _say(f"serving at {server.url}/predictions; end with Ctrl-C. Try:")
        _say(
            f"  curl -X POST {server.url}/predictions -H 'Content-Type: application/json' "
            """-d '{"input": {"prompt": "Hello!"}}'"""
        )
        return server.process.wait()


def _server(port: int, verbose: bool) -> LocalServer:
    """Start the server and wait for it, showing this package's own lines of its log until it is ready, or all."""
    ready = threading.Event()

    def show(line: str) -> None:
        if verbose or (line.startswith("[cog-vllm]") and not ready.is_set()):
            _say(line)

    server = LocalServer(port, on_log=show)
    try:
        server.wait_until_ready()
    except BaseException as error:
        server.stop()
        if isinstance(error, CogVLLMError) and error.code.startswith("E3") and not verbose:
            _say("\n".join(["the last lines of the log:", *list(server.log)[-20:]]))
        raise
    ready.set()
    return server


def _split_inputs(pairs: Sequence[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput(f"-i {pair!r} has no value: write -i name=value")
        given[name] = value
    return given


def _typed_inputs(given: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, Any]:
    """Turn texts into what the served schema asks for; its bounds are the server's to check."""
    properties = document["components"]["schemas"]["Input"]["properties"]
    inputs = {}
    for name, text in given.items():
        if name not in properties:
            raise InvalidInput(f"this model has no input {name!r}: {nearest(name, properties)}")
        kind = properties[name]["type"]
        try:
            inputs[name] = text if kind == "string" else json.loads(text)
        except ValueError as exc:
            raise InvalidInput(f"-i {name}={text} is not JSON, and {name} is of the type {kind}") from exc
    return inputs


def _print_answer(url: str, inputs: Mapping[str, Any]) -> int:
    for event, data in _events(url, inputs):
        if event == "output":
            print(data["chunk"], end="", flush=True)
        elif event == "completed":
            print(flush=True)
            return _conclude(data)
    _say("the stream ended without a result: see the log with --verbose")
    return 1


def _events(url: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the server-sent events of one prediction: name and decoded data."""
    body = {"input": inputs}
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/predictions", json=body, headers=headers, timeout=None) as response:
        if response.status_code != 200:
            response.read()
            raise InvalidInput(f"the server answers {response.status_code}: {response.text.strip()}")
        event = ""
        for line in response.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                yield event, json.loads(line.removeprefix("data:"))


def _conclude(prediction: Mapping[str, Any]) -> int:
    if prediction["status"] != "succeeded":
        _say(f"{prediction['status']}: {prediction.get('error', 'no reason given')}")
        return 1
    metrics = prediction["metrics"]
    _say(
        f"{metrics['input_token_count']} tokens in, {metrics['output_token_count']} out ({metrics['finish_reason']}); "
        f"first after {metrics['time_to_first_token']:.3f} s, {metrics['tokens_per_second']:.0f} tokens/s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
