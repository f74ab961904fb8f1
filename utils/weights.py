"""Brings a model's files from a source to one complete folder."""

import asyncio
import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import httpx

from utils.errors import CacheUnusable, DownloadFailed, UnsafeArchive, WeightsError, WeightsNotFound, reason
from utils.masking import masked, masked_text

Report = Callable[[str], None]

HUB_SCHEME = "hf://"
CHUNK = 1 << 20
TIMEOUT = httpx.Timeout(30.0)
"""Seconds without a byte, or without a connection, after which a transfer counts as broken."""
REPORT_EVERY = 5.0
"""Seconds between two lines of progress."""


async def fetch(source: str, cache: Path, report: Report) -> Path:
    """Bring `source` and return the complete folder that holds its files.

    `source` is a folder (served in place), a tarball (path or http(s) URL) or
    `hf://ORGANISATION/NAME[@REVISION]`. What has to be unpacked lands in one folder a source
    below `cache`, first under a temporary name: a folder that exists there is whole.

    Raises:
        WeightsNotFound: the source does not exist or may not be read.
        DownloadFailed: the transfer broke or ended short.
        UnsafeArchive: the tarball is damaged or reaches outside its folder.
        CacheUnusable: the cache folder cannot be written.
    """
    return await asyncio.to_thread(_fetch, source, cache, report)


def _fetch(source: str, cache: Path, report: Report) -> Path:
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if source.startswith(HUB_SCHEME):
        return _from_hub(source.removeprefix(HUB_SCHEME), cache)
    if scheme in {"http", "https"}:
        return _unpacked(source, masked(source), cache, lambda: _download(source, report))
    if scheme:
        raise WeightsNotFound(
            f"{masked(source)} cannot be fetched: give an http(s) URL, {HUB_SCHEME}ORGANISATION/NAME or a path"
        )
    return _from_path(source, cache)


def _from_path(source: str, cache: Path) -> Path:
    try:
        path = Path(source).expanduser().absolute()
        if path.is_dir():
            return path
        if not path.is_file():
            raise WeightsNotFound(f"{masked(str(path))} does not exist: give a folder, a tarball or a URL as model_url")
        status = path.stat()
    except (OSError, RuntimeError) as exc:
        raise WeightsNotFound(f"{masked(source)[:200]} cannot be read: {reason(exc)}. Check model_url") from exc
    identity = f"{path} {status.st_size} {status.st_mtime_ns}"
    return _unpacked(identity, str(path), cache, lambda: _read(path))


def _unpacked(identity: str, name: str, cache: Path, chunks: Callable[[], Iterator[bytes]]) -> Path:
    """Return the cache folder of `identity`, unpacking into it unless it is there; `name` is for messages."""
    folder = cache / "weights" / hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:32]
    if folder.is_dir():
        return model_folder(folder)
    partial = _temporary_folder(folder)
    try:
        unpack(_Stream(chunks()), partial)
        _rename_whole(partial, folder)
    except UnsafeArchive as exc:
        raise UnsafeArchive(f"{name}: {exc.args[0]}") from exc
    except OSError as exc:
        raise CacheUnusable(
            f"{folder.parent} cannot take the weights: {reason(exc)}. Make room, or set cache_dir to another folder"
        ) from exc
    finally:
        shutil.rmtree(partial.parent, ignore_errors=True)
    return model_folder(folder)


def _temporary_folder(folder: Path) -> Path:
    """Make a folder to unpack into: one level below the private one of mkdtemp, as its own rights last."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent)) / "files"
        partial.mkdir()
        return partial
    except OSError as exc:
        raise _unwritable(folder.parent, exc) from exc


def _unwritable(folder: Path, error: OSError) -> CacheUnusable:
    return CacheUnusable(f"{folder} cannot be written: {reason(error)}. Set cache_dir to a folder that can")


def _safe_cause(error: BaseException) -> BaseException | None:
    """Return `error` as a cause to chain, or None where its traceback would print the secret part of a URL."""
    text = "".join(traceback.format_exception_only(error))
    seen = [error.__cause__, error.__context__]
    safe = masked_text(text) == text and all(one is None or _safe_cause(one) is not None for one in seen)
    return error if safe else None


def _rename_whole(partial: Path, folder: Path) -> None:
    """Give the finished folder its name; where another process was faster, its folder is as good."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def model_folder(folder: Path) -> Path:
    """Return `folder`, or the single folder inside it where a tarball has one above its files."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def check_model_files(folder: Path) -> None:
    """Check that `folder` holds what every model has: config.json and weights in a known format.

    Raises:
        WeightsNotFound: names what is missing, and what is there.
    """
    there = sorted(path.name for path in folder.iterdir())
    formats = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
    wanted = {
        "config.json": any(name in {"config.json", "params.json"} or name.endswith(".gguf") for name in there),
        "*.safetensors": any(name.endswith(formats) for name in there),
    }
    for name, found in wanted.items():
        if not found:
            listed = ", ".join(there[:8]) or "nothing"
            raise WeightsNotFound(f"{folder} has no {name} (there is: {listed}): give all files of the model")


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as exc:
        raise WeightsNotFound(f"{path} cannot be read: {reason(exc)}") from exc


def _download(url: str, report: Report) -> Iterator[bytes]:
    """Yield the bytes of `url` as they are; the length the server promised is checked by httpx."""
    as_it_is = {"Accept-Encoding": "identity"}
    try:
        with httpx.stream("GET", url, headers=as_it_is, timeout=TIMEOUT, follow_redirects=True) as response:
            _check_status(response.status_code, url)
            yield from _reported(response, masked(url), report)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        raise WeightsNotFound(
            f"{masked(url)} cannot be fetched: {type(exc).__name__}. Check model_url"
        ) from _safe_cause(exc)
    except httpx.TransportError as exc:
        raise DownloadFailed(
            f"{masked(url)} broke off: {masked_text(str(exc)) or type(exc).__name__}. Start again"
        ) from _safe_cause(exc)


def _check_status(status: int, url: str) -> None:
    if status in {401, 403}:
        raise WeightsNotFound(f"{masked(url)} answers {status}: the URL needs a valid signature or credentials")
    if status in {404, 410}:
        raise WeightsNotFound(f"{masked(url)} answers {status}: nothing is there; check model_url")
    if status != 200:
        raise DownloadFailed(f"{masked(url)} answers {status} instead of 200: try again later, or check model_url")


def _reported(response: httpx.Response, name: str, report: Report) -> Iterator[bytes]:
    total = int(response.headers.get("content-length", 0))
    done, last = 0, float("-inf")
    for chunk in response.iter_raw(CHUNK):
        done += len(chunk)
        if time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            report(f"{name}: {done >> 20} MiB" + (f" of {total >> 20}" if total else ""))
        yield chunk


class _Stream:
    """Chunks as the file object that tarfile reads from front to end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size if size >= 0 else 1 << 62
        while wanted > 0 and (self._rest or self._refill()):
            parts.append(self._rest[:wanted])
            self._rest = self._rest[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)

    def _refill(self) -> bool:
        self._rest = next(self._chunks, b"")
        return bool(self._rest)


class _Member(tarfile.TarInfo):
    """A member that must be there: tarfile takes a broken or missing header for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as exc:
            raise tarfile.ReadError(f"it breaks off or is garbled after {archive.offset} bytes ({exc})") from exc


# Beside its own errors, tarfile lets these through where a header makes no sense.
_DAMAGED = (tarfile.TarError, EOFError, ValueError, LookupError, TypeError, OverflowError, RecursionError)


def unpack(stream: "_Stream", folder: Path) -> None:
    """Unpack a tarball (plain, gzip, bzip2 or xz) into `folder`, which it cannot leave.

    Files and folders are made with the rights of this process. Links become hard links to a
    file of the same tarball that came before; everything else is refused, so that no name
    ever leads through a link. Without the zero block that ends a tarball it is not whole.

    Raises:
        UnsafeArchive: names the member at fault.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as archive:  # type: ignore[call-overload]
            for member in archive:
                _unpack_member(archive, member, folder)
        while stream.read(CHUNK):
            """Bytes after the archive's end count too: a transfer that ends short must fail."""
    except _DAMAGED as exc:
        raise UnsafeArchive(f"the tarball is damaged or is none: {exc}. Pack it anew with tar -cf") from exc
    if not any(folder.iterdir()):
        raise UnsafeArchive("the tarball is empty: pack the model's files into it")


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = _place(member.name, member.name, folder)
    if member.size < 0:
        raise UnsafeArchive(f"{member.name!r} has a size below zero: pack the tarball anew")
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif member.isfile():
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            _write_new(content, target)
        elif member.issym() or member.islnk():
            _link(member, target, folder)
        else:
            raise UnsafeArchive(f"{member.name!r} is a device or a pipe: pack only files and folders")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
        raise UnsafeArchive(f"{member.name!r} is in the tarball twice, or as a file and a folder") from exc
    except OSError as exc:
        if exc.errno != errno.ENAMETOOLONG:
            raise
        raise UnsafeArchive(f"{member.name[:80]!r}… is too long a name for the cache folder's file system") from exc


def _write_new(content: IO[bytes], target: Path) -> None:
    with target.open("xb") as file:
        shutil.copyfileobj(content, file, CHUNK)


def _link(member: tarfile.TarInfo, target: Path, folder: Path) -> None:
    """A symbolic link's target is relative to its own folder, a hard link's to the tarball's root."""
    base = str(PurePosixPath(member.name).parent) if member.issym() else "."
    linked = _place(os.path.normpath(f"{base}/{member.linkname}"), member.name, folder)
    if member.linkname.startswith("/") or not linked.is_file():
        raise UnsafeArchive(f"{member.name!r} is a link to {member.linkname!r}, which is not a file before it")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(linked, target)


def _place(name: str, shown: str, folder: Path) -> Path:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise UnsafeArchive(f"{shown!r} leads outside the model's folder: pack with names below it")
    return folder.joinpath(*parts)


def _from_hub(repository: str, cache: Path) -> Path:
    """Bring a repository of the Hugging Face Hub; huggingface_hub keeps, resumes and verifies its files."""
    from huggingface_hub import snapshot_download

    name, _, revision = repository.partition("@")
    place: dict[str, Any] = {"repo_id": name, "revision": revision or None, "cache_dir": cache / "hub"}
    try:
        place["cache_dir"].mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unwritable(place["cache_dir"], exc) from exc
    try:
        return Path(snapshot_download(**place, ignore_patterns=_not_wanted(place)))
    except Exception as exc:  # the Hub's errors have no common base, and its HTTP library's may come through
        raise _hub_error(repository, exc) from _safe_cause(exc)


def _hub_error(repository: str, error: Exception) -> WeightsError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return WeightsNotFound(f"{repository} is gated: accept its terms on the Hub and set HF_TOKEN")
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsNotFound(
            f"{repository} is not on the Hub, or is private: check model_id, set HF_TOKEN, or give model_url"
        )
    if isinstance(error, (errors.RevisionNotFoundError, errors.HFValidationError)):
        return WeightsNotFound(f"{repository} is no repository and revision of the Hub: check model_id and model_url")
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in {401, 403}:
        return WeightsNotFound(
            f"the Hub refuses {repository} ({error.response.status_code}): check model_id and HF_TOKEN"
        )
    reason = masked_text(str(error).strip().partition("\n")[0]) or type(error).__name__
    return DownloadFailed(f"{repository} could not be brought from the Hub: {reason}. Start again, or give model_url")


_OLDER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.msgpack", "*.h5", "*.onnx", "*.gguf")


def _not_wanted(place: dict[str, Any]) -> list[str]:
    """Return patterns of files to leave: where there are safetensors, the older formats of the same weights."""
    has_safetensors = any(file.endswith(".safetensors") for file in _hub_files(place))
    return ["original/*", *(_OLDER_FORMATS if has_safetensors else ())]


def _hub_files(place: dict[str, Any]) -> list[str]:
    """List a repository's files; where the Hub does not answer, as an earlier start found them."""
    from huggingface_hub import get_cached_repo_tree, model_info
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        listed = model_info(place["repo_id"], revision=place["revision"]).siblings
        return [file.rfilename for file in listed or ()]
    except Exception:
        try:
            return [file.path for file in get_cached_repo_tree(**place)]
        except CachedRepoTreeNotFoundError:
            pass
        raise
