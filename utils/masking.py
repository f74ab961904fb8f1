"""Showing a location without what is secret in it."""

import re

_LOCATION = re.compile(r"(\s*[A-Za-z][A-Za-z0-9+.-]*:/+)([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_QUERY = re.compile(r"\?.*=.*", re.DOTALL)
_PLAIN_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^@:\[\]]*)(:\d*)?")
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def masked(location: str) -> str:
    """Return `location` with the credentials and the query of a URL replaced by `***`.

    Signed URLs carry their signature in the query and some carry a password before the
    host; paths and repository names come back unchanged. What cannot be read as a host is
    not shown, and a query is masked also where the `https://` before it was forgotten.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        return _QUERY.sub("?***", location)
    scheme, authority, path, rest = match.groups()
    _, at, host = authority.rpartition("@")
    if not _PLAIN_HOST.fullmatch(host):
        return f"{scheme}***"
    return f"{scheme}{'***@' if at else ''}{host}{path}{'?***' if rest.startswith('?') else ''}"


def masked_text(text: str) -> str:
    """Return `text` with every URL in it masked."""
    return _URL_IN_TEXT.sub(lambda match: masked(match[0]), text)


def shown(value: object, length: int = 200) -> str:
    """Return `value` as an error message quotes it: masked, in printable characters, and not longer than `length`."""
    try:
        text = masked_text(repr(masked(value) if isinstance(value, str) else value))
    except ValueError:
        return "a number of thousands of digits"
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= length else f"{text[: length - 3]}..."
