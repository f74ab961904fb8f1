"""No printed location has a signature or a password in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.masking import masked, masked_text


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://host/a/model.tar?X-Signature=abc", "https://host/a/model.tar?***"),
        ("https://host/model.tar?sig=a?b#c", "https://host/model.tar?***"),
        ("https://host/model.tar#token", "https://host/model.tar"),
        ("https://user:pass@host:8080/model.tar", "https://***@host:8080/model.tar"),
        ("https://user:p@ss@host/model.tar?sig=1", "https://***@host/model.tar?***"),
        ("https://user:pa?ss@host/model.tar", "https://***"),
        ("HTTPS://host/x?sig=abc", "HTTPS://host/x?***"),
        ("https:/host/x?sig=abc", "https:/host/x?***"),
        (" https://host/x?sig=abc", " https://host/x?***"),
        ("https://host/a b?sig=a b", "https://host/a b?***"),
        ("https://host/x?sig=a\nb", "https://host/x?***"),
        ("https://[::1]:80/x?sig=abc", "https://[::1]:80/x?***"),
        ("https://[broken/x?sig=abc", "https://***"),
        ("s3://bucket/key?sig=abc", "s3://bucket/key?***"),
        ("host/model.tar?sig=abc", "host/model.tar?***"),
        ("hf://meta-llama/Llama-3.1-8B@main", "hf://meta-llama/Llama-3.1-8B@main"),
        ("https://host/what", "https://host/what"),
        ("demo/model.tar", "demo/model.tar"),
        ("/weights/is it?", "/weights/is it?"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_location(location: str, shown: str) -> None:
    assert masked(location) == shown


@given(
    scheme=st.sampled_from(["http", "https", "s3", "HTTPS"]),
    user=st.none() | st.text(alphabet=st.characters(exclude_characters="/?#"), max_size=9),
    path=st.text(alphabet="abc/._-", max_size=9),
    query=st.none() | st.text(max_size=30),
)
def test_secret_never_shows_wherever_it_is_put(scheme: str, user: str | None, path: str, query: str | None) -> None:
    before = "" if user is None else f"{user}SECRET:SECRET@"
    after = "" if query is None else f"?{query}SECRET"
    shown = masked(f"{scheme}://{before}host/{path}{after}")
    assert "SECRET" not in shown
    assert shown.startswith(f"{scheme}://")


def test_every_url_in_a_text_is_masked() -> None:
    text = "{'a': 'https://h/x?sig=1', \"b\": <http://u:p@h/y>} and s3://k?z=2, done? yes=no"
    assert masked_text(text) == "{'a': 'https://h/x?***', \"b\": <http://***@h/y>} and s3://k?*** done? yes=no"
