"""Bringing weights: a real HTTP server on the loopback, real tarballs, and nothing half-unpacked ever served."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import socket
import stat
import tarfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils import weights
from utils.errors import DownloadFailed, UnsafeArchive, WeightsError, WeightsNotFound

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "tokenizer/vocab.json": b"[]"}
QUERY = "?X-Signature=SIGNATURE&X-Expires=1"


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for field_name, value in fields.items():
        setattr(made, field_name, value)
    return made


def tarball(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w", **options: Any) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode, **options) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def model_tarball(mode: str = "w", folder: str = "", **options: Any) -> bytes:
    return tarball(*((member(folder + name), content) for name, content in FILES.items()), mode=mode, **options)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch(source: object, cache: Path, reports: list[str] | None = None) -> Path:
    return asyncio.run(weights.fetch(str(source), cache, (reports if reports is not None else []).append))


def nothing_is_left(cache: Path) -> bool:
    return not (cache / "weights").exists() or not list((cache / "weights").iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@dataclass
class Answer:
    """What the server says for one path; `cut` is how many bytes of the body it sends before it hangs up."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: bool = True


@dataclass
class Web:
    """A server on the loopback, what it answers, and what it was asked."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, body: bytes = b"", **more: Any) -> str:
        self.answers[path] = Answer(body, **more)
        return f"{self.url}{path}"


def handler_of(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            web.asked.append((self.path, dict(self.headers)))
            answer = web.answers.get(path, Answer(b"nothing here", 404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body[: answer.cut])
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving() -> Iterator[Web]:
    web = Web("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(web))
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


def refusal(source: object, cache: Path, kind: type[WeightsError], *, chained: bool | None = True) -> str:
    """Fetch what must fail; neither message nor traceback may hold a signature."""
    reports: list[str] = []
    with pytest.raises(kind) as caught:
        fetch(source, cache, reports)
    assert type(caught.value) is kind
    assert chained is None or (caught.value.__cause__ is not None) is chained
    for text in ("".join(traceback.format_exception(caught.value)), *reports):
        assert "SIGNATURE" not in text
        assert "PASSWORD" not in text
    assert nothing_is_left(cache)
    return str(caught.value)


# --- folders and tarballs on disk -------------------------------------------------------------


def test_folder_is_served_in_place(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model").mkdir()
    assert fetch(tmp_path / "model", cache) == tmp_path / "model"
    assert not cache.exists()


def test_home_folder_and_relative_paths_are_understood(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert fetch("~/model", cache) == fetch("model", cache) == tmp_path / "model"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tarball_is_unpacked_whatever_its_compression_and_format(
    mode: str, form: int, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "model.tar").write_bytes(model_tarball(mode, format=form))
    assert files_in(fetch(tmp_path / "model.tar", cache)) == FILES


def test_tarball_of_tar_dash_C_with_a_dot_before_every_name_is_unpacked(tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "model"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        archive.add(source, ".")
        assert "./config.json" in archive.getnames()
    assert files_in(fetch(tmp_path / "model.tar", cache)) == FILES


@pytest.mark.parametrize(
    ("folder", "kept"),
    [("", ""), ("model/", ""), ("./model/", ""), ("a/model/", "model/")],
)
def test_single_folder_above_the_files_is_passed_over(folder: str, kept: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model.tar").write_bytes(model_tarball(folder=folder))
    assert files_in(fetch(tmp_path / "model.tar", cache)) == {kept + name: one for name, one in FILES.items()}


def test_second_start_serves_the_same_folder_without_unpacking(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model.tar").write_bytes(model_tarball())
    first = fetch(tmp_path / "model.tar", cache)
    (first / "kept").touch()
    assert fetch(tmp_path / "model.tar", cache) == first
    assert (first / "kept").exists()
    assert [path.name for path in (cache / "weights").iterdir()] == [first.name]


def test_changed_tarball_is_unpacked_anew(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(model_tarball())
    before = fetch(path, cache)
    content = path.read_bytes().replace(b"{}", b"[]")
    path.write_bytes(content)
    os.utime(path, ns=(0, 12345))
    after = fetch(path, cache)
    assert (before / "config.json").read_bytes() == b"{}"
    assert (after / "config.json").read_bytes() == b"[]"


def test_unpacked_files_have_usual_rights(tmp_path: Path, cache: Path) -> None:
    made = [
        (member("folder", tarfile.DIRTYPE, mode=0o7000), b""),
        (member("folder/tool", mode=0o6755, uid=1234, gid=1234), b"x"),
        (member("secret", mode=0), b"x"),
    ]
    (tmp_path / "model.tar").write_bytes(tarball(*made))
    folder = fetch(tmp_path / "model.tar", cache)
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual/file").touch()
    usual_folder, usual_file = (stat.S_IMODE((tmp_path / one).stat().st_mode) for one in ("usual", "usual/file"))
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "folder")} == {usual_folder}
    assert {stat.S_IMODE((folder / one).stat().st_mode) for one in ("folder/tool", "secret")} == {usual_file}
    assert (folder / "secret").stat().st_uid == os.getuid()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.tar", "/missing.tar does not exist: give a folder, a tarball or a URL as model_url"),
        ("bucket/model.tar?X-Signature=SIGNATURE", "/bucket/model.tar?*** does not exist"),
        ("a\0b", "does not exist"),
        ("x" * 5000, "cannot be read: File name too long. Check model_url"),
        ("~no-such-user/model", "~no-such-user/model cannot be read: Could not determine home directory"),
        ("s3://bucket/model.tar?X-Signature=SIGNATURE", "s3://bucket/model.tar?*** cannot be fetched: give an http(s)"),
        ("file:///model.tar", "file:///model.tar cannot be fetched"),
        ("ftp://user:PASSWORD@host/x", "ftp://***@host/x cannot be fetched"),
    ],
    ids=lambda one: one[:30],
)
def test_source_that_is_none_is_refused(
    source: str, message: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(source, cache, WeightsNotFound, chained="cannot be read" in message)
    assert said.startswith("E2101: ")
    assert message in said


def test_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "model.tar").write_bytes(model_tarball())
    with pytest.raises(WeightsError, match=r"cannot be written: Not a directory. Set cache_dir to a folder that can"):
        fetch(tmp_path / "model.tar", tmp_path / "file" / "cache")


def test_full_disk_says_what_to_do(tmp_path: Path, cache: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    (tmp_path / "model.tar").write_bytes(model_tarball())
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(WeightsError, match=r"cannot take the weights: File too large. Make room, or set cache_dir"):
            fetch(tmp_path / "model.tar", cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert nothing_is_left(cache)


# --- what a tarball may hold -------------------------------------------------------------------

OK = (member("config.json"), b"{}")


def fails(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:
    return tarball(OK, *members, **options)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (fails((member("/etc/x"), b"x")), "'/etc/x' leads outside the model's folder"),
        (fails((member("//x"), b"x")), "'//x' leads outside"),
        (fails((member("../x"), b"x")), "'../x' leads outside"),
        (fails((member("a/../../x"), b"x")), "'a/../../x' leads outside"),
        (fails((member("a/.."), b"x")), "'a/..' leads outside"),
        (fails((member("..", tarfile.DIRTYPE), b"")), "'..' leads outside"),
        (fails((member("a\\..\\x"), b"x")), r"'a\\..\\x' leads outside"),
        (fails((member("x", pax_headers={"path": "a\0b"}), b"x"), format=tarfile.PAX_FORMAT), r"'a\x00b' leads out"),
        (fails((member("x", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")), "'x' is a link to '/etc/passwd', which"),
        (fails((member("x", tarfile.SYMTYPE, linkname="/config.json"), b"")), "'x' is a link to '/config.json', which"),
        (fails((member("x", tarfile.SYMTYPE, linkname="../x"), b"")), "'x' leads outside"),
        (fails((member("a/x", tarfile.SYMTYPE, linkname="../../x"), b"")), "'a/x' leads outside"),
        (fails((member("x", tarfile.SYMTYPE, linkname="."), b"")), "'x' is a link to '.', which is not a file before"),
        (fails((member("x", tarfile.SYMTYPE, linkname="x"), b"")), "'x' is a link to 'x', which is not a file before"),
        (fails((member("x", tarfile.SYMTYPE, linkname="later"), b"")), "'x' is a link to 'later', which is not a file"),
        (fails((member("x", tarfile.LNKTYPE, linkname="/etc/passwd"), b"")), "'x' is a link to '/etc/passwd', which"),
        (fails((member("x", tarfile.LNKTYPE, linkname="../x"), b"")), "'x' leads outside"),
        (fails((member("a/x", tarfile.LNKTYPE, linkname="a/../../x"), b"")), "'a/x' leads outside"),
        (
            fails((member("x", tarfile.SYMTYPE, linkname="config.json"), b""), (member("x"), b"over")),
            "'x' is in the tarball twice",
        ),
        (
            fails((member("x", tarfile.LNKTYPE, linkname="config.json"), b""), (member("x/y"), b"through")),
            "'x/y' is in the tarball twice, or as a file and a folder",
        ),
        (fails((member("config.json"), b"again")), "'config.json' is in the tarball twice"),
        (fails((member("./config.json"), b"again")), "'./config.json' is in the tarball twice"),
        (fails((member("config.json/x"), b"x")), "'config.json/x' is in the tarball twice, or as a file and a folder"),
        (fails((member("config.json/x/y"), b"x")), "'config.json/x/y' is in the tarball twice, or as a file"),
        (fails((member("config.json", tarfile.DIRTYPE), b"")), "'config.json' is in the tarball twice, or as a file"),
        (fails((member("a/b"), b"x"), (member("a"), b"x")), "'a' is in the tarball twice, or as a file and a folder"),
        (fails((member("."), b"x")), "'.' is in the tarball twice, or as a file and a folder"),
        (fails((member("x", tarfile.CHRTYPE, devmajor=1, devminor=3), b"")), "'x' is a device or a pipe"),
        (fails((member("x", tarfile.BLKTYPE), b"")), "'x' is a device or a pipe: pack only files and folders"),
        (fails((member("x", tarfile.FIFOTYPE), b"")), "'x' is a device or a pipe"),
        (fails((member("x", b"Z"), b"")), "'x' is a device or a pipe"),
        (fails((member("n" * 300), b"x")), "… is too long a name for the cache folder's file system"),
        (
            tarball(OK)[:1024]
            + member("x", size=-512).tobuf(tarfile.GNU_FORMAT)
            + bytes(
                1024,
            ),
            "'x' has a size below zero: pack the tarball anew",
        ),
        (
            fails((member("x", pax_headers={"size": "-1"}), b""), format=tarfile.PAX_FORMAT),
            "'x' has a size below zero: pack the tarball anew",
        ),
        (
            fails((member("x", pax_headers={"GNU.sparse.map": "a", "GNU.sparse.size": "b"}), b"")),
            "the tarball is damaged or is none",
        ),
        (
            b"",
            "the tarball is damaged or is none: it breaks off or is garbled after 0 bytes (empty header). Pack",
        ),
        (b"<html>expired</html>", "the tarball is damaged or is none"),
        (b"PK\x03\x04" + bytes(1000), "the tarball is damaged or is none"),
        (b"\x28\xb5\x2f\xfd" + bytes(1000), "the tarball is damaged or is none"),
        (b"\x1f\x8b\x08", "the tarball is damaged or is none"),
        (b"\x1f\x8b\x08\x04" + bytes(6), "the tarball is damaged or is none"),
        (gzip.compress(b"no tarball"), "the tarball is damaged or is none"),
        (tarball(), "the tarball is empty: pack the model's files into it"),
        (tarball((member(".", tarfile.DIRTYPE), b"")), "the tarball is empty"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_malicious_or_damaged_tarball_is_refused_by_name(
    packed: bytes, message: str, tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(packed)
    said = refusal(path, cache, UnsafeArchive)
    assert said.startswith(f"E2103: {path}: ")
    assert message in said
    said.encode()
    assert {one.name for one in tmp_path.iterdir()} == {"model.tar", "cache"}


@pytest.mark.parametrize(
    ("members", "files"),
    [
        ([(member("x", tarfile.SYMTYPE, linkname="config.json"), b"")], {"x": b"{}"}),
        ([(member("a/x", tarfile.SYMTYPE, linkname="../config.json"), b"")], {"a/x": b"{}"}),
        ([(member("a/x", tarfile.LNKTYPE, linkname="config.json"), b"")], {"a/x": b"{}"}),
        ([(member("a/x", tarfile.LNKTYPE, linkname="./config.json"), b"")], {"a/x": b"{}"}),
        ([(member("x", tarfile.CONTTYPE), b"c")], {"x": b"c"}),
        ([(member("x", tarfile.AREGTYPE), b"c")], {"x": b"c"}),
        (
            [(member("a", tarfile.DIRTYPE), b""), (member("a/", tarfile.DIRTYPE), b""), (member("a/x"), b"")],
            {"a/x": b""},
        ),
        ([(member("é \N{GRINNING FACE}'\"\n.txt"), b"c")], {"é \N{GRINNING FACE}'\"\n.txt": b"c"}),
        ([(member("/".join(["d" * 90] * 9) + "/x"), b"c")], {"/".join(["d" * 90] * 9) + "/x": b"c"}),
        ([(member("...", pax_headers={"comment": "é", "mtime": "1.5"}), b"c")], {"...": b"c"}),
        ([(member("-rf"), b"c"), (member(".hidden"), b"c")], {"-rf": b"c", ".hidden": b"c"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_harmless_members_are_unpacked(
    members: list[tuple[tarfile.TarInfo, bytes]], files: dict[str, bytes], tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "model.tar").write_bytes(tarball(OK, *members, format=tarfile.PAX_FORMAT))
    folder = fetch(tmp_path / "model.tar", cache)
    assert files_in(folder) == {"config.json": b"{}", **files}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_name_in_another_encoding_keeps_its_bytes(tmp_path: Path, cache: Path) -> None:
    packed = tarball(OK, (member("caf\xe9"), b"c"), format=tarfile.GNU_FORMAT, encoding="latin-1")
    (tmp_path / "model.tar").write_bytes(packed)
    assert set(os.listdir(os.fsencode(fetch(tmp_path / "model.tar", cache)))) == {b"config.json", b"caf\xe9"}


def test_sparse_file_gets_its_holes_back(tmp_path: Path, cache: Path) -> None:
    headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": "2048",
        "GNU.sparse.map": "1024,512",
    }
    packed = tarball(OK, (member("sparse", pax_headers=headers), b"x" * 512), format=tarfile.PAX_FORMAT)
    (tmp_path / "model.tar").write_bytes(packed)
    assert (fetch(tmp_path / "model.tar", cache) / "sparse").read_bytes() == bytes(1024) + b"x" * 512 + bytes(512)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tarball_that_ends_anywhere_before_its_end_is_never_served(mode: str, tmp_path: Path) -> None:
    whole = model_tarball(mode)
    path, lengths = tmp_path / "model.tar", [0, 1, 100, 512, 1024, 1500, 1536, 2048, 12288, 12800, 13000, 13312]
    plain_end = 512 * 3 + 512 * 23  # three headers, and contents of 1, 20 and 1 blocks with one to spare
    for length in {one for one in lengths if one < (plain_end if mode == "w" else len(whole) * 3 // 4)}:
        path.write_bytes(whole[:length])
        refusal(path, tmp_path / f"cache{length}", UnsafeArchive)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_tarball_with_any_bytes_changed_stays_in_its_folder(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = (member("a/link", tarfile.SYMTYPE, linkname="../config.json"), b"")
    long_name = (member("long" * 40, pax_headers={"x": "y"}), b"z" * 600)
    packed = bytearray(tarball(OK, link, long_name, format=tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(packed) - 8000))
        packed[place] = data.draw(st.integers(0, 255))
        header = place // 512 * 512
        checksum = 256 + sum(packed[header : header + 148]) + sum(packed[header + 156 : header + 512])
        packed[header + 148 : header + 156] = b"%06o\0 " % checksum
    around = tmp_path_factory.mktemp("fuzz")
    (around / "model.tar").write_bytes(packed)
    try:
        folder = fetch(around / "model.tar", around / "cache")
        assert not any(path.is_symlink() for path in folder.rglob("*"))
    except UnsafeArchive:
        assert nothing_is_left(around / "cache")
    assert {one.name for one in around.iterdir()} <= {"model.tar", "cache"}


# --- over HTTP -----------------------------------------------------------------------------------


def test_signed_url_is_fetched_and_its_signature_never_told(web: Web, cache: Path) -> None:
    reports: list[str] = []
    url = web.put("/model.tar", model_tarball())
    assert files_in(fetch(url + QUERY, cache, reports)) == FILES
    assert [path for path, _ in web.asked] == [f"/model.tar{QUERY}"]
    assert reports == [f"{url}?***: 0 MiB of 0"]


def test_second_start_downloads_nothing(web: Web, cache: Path) -> None:
    url = web.put("/model.tar", model_tarball())
    assert fetch(url, cache) == fetch(url, cache)
    assert len(web.asked) == 1


def test_different_urls_get_different_folders(web: Web, cache: Path) -> None:
    urls = [web.put(path, model_tarball()) for path in ("/a/model.tar", "/b/model.tar")]
    urls.append(f"{urls[0]}?version=2")
    assert len({fetch(url, cache) for url in urls}) == 3


def test_body_is_asked_for_as_it_is_and_length_may_be_missing(web: Web, cache: Path) -> None:
    url = web.put("/model.tar.gz", model_tarball("w:gz"), length=False)
    assert files_in(fetch(url, cache)) == FILES
    assert web.asked[0][1]["Accept-Encoding"] == "identity"


def test_redirect_is_followed(web: Web, cache: Path) -> None:
    web.put("/real.tar", model_tarball())
    url = web.put("/model.tar", status=302, headers={"Location": f"/real.tar{QUERY}"})
    assert files_in(fetch(url, cache)) == FILES


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, WeightsNotFound, "answers 401: the URL needs a valid signature or credentials"),
        (403, WeightsNotFound, "answers 403: the URL needs a valid signature or credentials"),
        (404, WeightsNotFound, "answers 404: nothing is there; check model_url"),
        (410, WeightsNotFound, "answers 410: nothing is there; check model_url"),
        (500, DownloadFailed, "answers 500 instead of 200: try again later, or check model_url"),
        (503, DownloadFailed, "answers 503 instead of 200"),
        (206, DownloadFailed, "answers 206 instead of 200"),
    ],
)
def test_status_is_told(status: int, kind: type[WeightsError], message: str, web: Web, cache: Path) -> None:
    url = web.put("/model.tar", model_tarball(), status=status)
    assert f"{url}?*** {message}" in refusal(url + QUERY, cache, kind, chained=False)


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        (f"/loop.tar{QUERY}", WeightsNotFound, "cannot be fetched: TooManyRedirects. Check model_url"),
        (f"ftp://host/x{QUERY}", WeightsNotFound, "cannot be fetched: UnsupportedProtocol. Check model_url"),
        (f"http://[bad/{QUERY}", DownloadFailed, "broke off: "),
        (f"http://host:port/{QUERY}", DownloadFailed, "broke off: "),
        (f"http://127.0.0.1:1/x{QUERY}", DownloadFailed, "broke off: "),
    ],
)
def test_redirect_that_leads_nowhere(
    location: str, kind: type[WeightsError], message: str, web: Web, cache: Path
) -> None:
    url = web.put("/loop.tar", status=302, headers={"Location": location})
    assert f"{url}?*** {message}" in refusal(url + QUERY, cache, kind)


@pytest.mark.parametrize(
    "url",
    [
        f"http://host:port/x{QUERY}",
        f"http://user:PASSWORD@host:port/x{QUERY}",
        f"http://{QUERY}",
        f"http://h\n/{QUERY}",
    ],
)
def test_url_that_is_none_is_refused(url: str, cache: Path) -> None:
    assert "cannot be fetched: " in refusal(url, cache, WeightsNotFound)


def test_refused_connection_is_told(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/model.tar"
        assert "Connection refused. Start again" in refusal(url + QUERY, cache, DownloadFailed)


@pytest.mark.parametrize("cut", [0, 1, 512, 1536, 5000, 12800])
@pytest.mark.parametrize(("length", "kind"), [(True, DownloadFailed), (False, UnsafeArchive)])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_interrupted_download_is_never_served(
    cut: int, length: bool, kind: type[WeightsError], mode: str, web: Web, cache: Path
) -> None:
    noise = tarball(OK, (member("noise"), os.urandom(20_000)), mode=mode)
    url = web.put("/model.tar", noise, cut=cut, length=length)
    refusal(url + QUERY, cache, kind)
    web.put("/model.tar", model_tarball())
    assert files_in(fetch(url + QUERY, cache)) == FILES


def test_download_that_ends_short_behind_the_last_file_fails_too(web: Web, cache: Path) -> None:
    whole = model_tarball() + bytes(4 << 20)
    url = web.put("/model.tar", whole, cut=len(whole) - 1)
    refusal(url, cache, DownloadFailed)


def test_page_in_place_of_a_tarball_is_refused(web: Web, cache: Path) -> None:
    url = web.put("/model.tar", b"<html>" + b"expired " * 1000)
    assert f"{url}?***: the tarball is damaged or is none" in refusal(url + QUERY, cache, UnsafeArchive)


def test_simultaneous_starts_both_get_a_whole_folder(web: Web, cache: Path) -> None:
    url = web.put("/model.tar", model_tarball())

    async def start_together() -> list[Path]:
        return await asyncio.gather(*(weights.fetch(url, cache, print) for _ in range(4)))

    folders = asyncio.run(start_together())
    assert len(set(folders)) == 1
    assert files_in(folders[0]) == FILES
    assert [path.name for path in (cache / "weights").iterdir()] == [folders[0].name]


# --- from the Hugging Face Hub -------------------------------------------------------------------

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def hub(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """Answer as the Hub does; huggingface_hub reads HF_ENDPOINT when it is imported, so its constants are set.

    It waits before it tries again, which is not waited for here.
    """
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", web.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", web.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", web.url)
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return web


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def publish(web: Web, files: dict[str, bytes], repository: str = "org/name", revision: str = "main") -> None:
    commit = COMMITS[revision]
    tree = [
        {"type": "file", "path": name, "size": len(content), "oid": git_id(content)} for name, content in files.items()
    ]
    info = {"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
    api = f"/api/models/{repository}"
    for path in (api, f"{api}/revision/{revision}"):
        if path != api or revision == "main":
            web.put(path, json.dumps(info).encode(), headers={"Content-Type": "application/json"})
    for one in (revision, commit):
        web.put(f"{api}/tree/{one}", json.dumps(tree).encode(), headers={"Content-Type": "application/json"})
    for name, content in files.items():
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_id(content)}"', "X-Linked-Size": str(len(content))}
        web.put(f"/{repository}/resolve/{commit}/{name}", content, headers=headers)


def test_repository_of_the_hub_is_brought(hub: Web, cache: Path) -> None:
    publish(hub, FILES)
    assert files_in(fetch("hf://org/name", cache)) == FILES


@pytest.mark.parametrize(
    ("published", "brought"),
    [
        (["config.json", "a.safetensors", "pytorch_model.bin", "tf_model.h5"], {"config.json", "a.safetensors"}),
        (["config.json", "pytorch_model.bin"], {"config.json", "pytorch_model.bin"}),
        (["config.json", "a.safetensors", "original/a.pth"], {"config.json", "a.safetensors"}),
        (["config.json", "a.bin", "original/a.pth"], {"config.json", "a.bin"}),
    ],
)
def test_safetensors_are_preferred(published: list[str], brought: set[str], hub: Web, cache: Path) -> None:
    publish(hub, {name: name.encode() for name in published})
    assert set(files_in(fetch("hf://org/name", cache))) == brought


def test_formats_are_those_of_the_revision(hub: Web, cache: Path) -> None:
    publish(hub, {"a.safetensors": b"main"})
    publish(hub, {"a.bin": b"v1"}, revision="v1")
    assert files_in(fetch("hf://org/name@v1", cache)) == {"a.bin": b"v1"}


def test_revision_is_honoured(hub: Web, cache: Path) -> None:
    publish(hub, {"config.json": b"main"})
    publish(hub, {"config.json": b"v1"}, revision="v1")
    assert files_in(fetch("hf://org/name@v1", cache)) == {"config.json": b"v1"}
    assert files_in(fetch("hf://org/name", cache)) == {"config.json": b"main"}


@pytest.mark.parametrize("files", [FILES, {"config.json": b"", "a.bin": b"x"}, {"a.safetensors": b"", "a.bin": b""}])
def test_brought_repository_is_served_when_the_hub_is_gone(files: dict[str, bytes], hub: Web, cache: Path) -> None:
    publish(hub, files)
    first = fetch("hf://org/name", cache)
    hub.answers.clear()
    for status in (500, 404):
        for path in ("/api/models/org/name", "/api/models/org/name/revision/main"):
            hub.put(path, status=status)
        assert fetch("hf://org/name", cache) == first


@pytest.mark.parametrize(
    ("source", "status", "headers", "kind", "message"),
    [
        (
            "org/name",
            404,
            {"X-Error-Code": "RepoNotFound"},
            WeightsNotFound,
            "org/name is not on the Hub, or is private",
        ),
        (
            "org/name",
            401,
            {},
            WeightsNotFound,
            "the Hub refuses org/name (401): check model_id and HF_TOKEN",
        ),
        ("org/name", 401, {"X-Error-Code": "GatedRepo"}, WeightsNotFound, "org/name is gated: accept its terms on the"),
        ("org/name", 403, {"X-Error-Code": "GatedRepo"}, WeightsNotFound, "org/name is gated: accept its terms on the"),
        ("org/name", 403, {}, WeightsNotFound, "the Hub refuses org/name (403): check model_id and HF_TOKEN"),
        (
            "org/name",
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            WeightsNotFound,
            "the Hub refuses org/name (401): check model_id and HF_TOKEN",
        ),
        ("org/name@v2", 404, {"X-Error-Code": "RevisionNotFound"}, WeightsNotFound, "org/name@v2 is no repository and"),
        ("org/name", 500, {}, DownloadFailed, "org/name could not be brought from the Hub: "),
        ("org/name/x", 404, {}, WeightsNotFound, "org/name/x is no repository and revision of the Hub"),
        ("no good", 404, {}, WeightsNotFound, "no good is no repository and revision of the Hub: check model_id"),
        ("", 404, {}, WeightsNotFound, " is no repository and revision of the Hub: check model_id"),
    ],
)
def test_answer_of_the_hub_is_told(
    source: str, status: int, headers: dict[str, str], kind: type[WeightsError], message: str, hub: Web, cache: Path
) -> None:
    for path in ("", "/revision/main", "/revision/v2"):
        hub.put(f"/api/models/org/name{path}", status=status, headers=headers)
    said = refusal(f"hf://{source}", cache, kind)
    assert message in said
    assert "\n" not in said


def test_hub_that_cannot_be_reached_is_told(hub: Web, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", "http://127.0.0.1:1")
    assert "org/name could not be brought from the Hub: " in refusal("hf://org/name", cache, DownloadFailed)


def test_signature_that_the_hub_redirects_to_is_never_told(hub: Web, cache: Path) -> None:
    publish(hub, FILES)
    hub.put("/cdn", status=403)
    path = f"/org/name/resolve/{COMMITS['main']}/model.safetensors"
    hub.answers[path].status, hub.answers[path].headers["Location"] = 302, f"{hub.url}/cdn{QUERY}"
    assert "org/name could not be brought" in refusal("hf://org/name", cache, DownloadFailed, chained=None)


def test_hub_cache_that_cannot_be_written_says_what_to_do(hub: Web, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot be written: Not a directory. Set cache_dir to a folder that can"):
        fetch("hf://org/name", tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "has no config.json (there is: nothing)"),
        (("model.safetensors",), "has no config.json (there is: model.safetensors)"),
        (("config.json", "tokenizer.json"), "has no *.safetensors (there is: config.json, tokenizer.json)"),
    ],
)
def test_a_folder_without_what_every_model_has_is_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(WeightsNotFound) as caught:
        weights.check_model_files(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("file", ["model.safetensors", "model-00001-of-00002.bin", "consolidated.00.pth"])
def test_a_folder_with_config_and_weights_passes(tmp_path: Path, file: str) -> None:
    (tmp_path / "config.json").touch()
    (tmp_path / file).touch()

    weights.check_model_files(tmp_path)
