"""Secrets leave no trace in what is stored or shown."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.redaction import (
    REDACTED,
    is_secret_name,
    redact_arguments,
    redact_headers,
    redact_text,
    redact_url,
    redact_values,
)

SECRET = "s3cret-Value/77+x="


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "--api-key",
        "apiKey",
        "OPENAI_API_KEY",
        "hf_token",
        "token",
        "password",
        "Authorization",
        "X-Auth",
        "client_secret",
        "key",
        "cookie",
        "access-token",
        "accessToken",
    ],
)
def test_names_of_secrets_are_known(name):
    """Options, headers and fields that carry keys are recognised in any spelling."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "api_key_env",
        "max_tokens",
        "input_tokens",
        "token_source",
        "tokenizer",
        "prompt_tokens",
        "keep_text",
        "monkey",
        "completion_tokens",
        "tokens_per_word",
        "keyboard",
        "author",
        "plan",
    ],
)
def test_names_of_numbers_are_not_secrets(name):
    """Names that merely contain such words keep their values."""
    assert not is_secret_name(name)


@given(
    before=st.text(max_size=30),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40),
    after=st.text(max_size=30),
)
def test_known_secrets_are_taken_out_of_any_text(before, secret, after):
    """A known secret is found wherever it stands, plain or URL-encoded."""
    text = redact_text(f"{before}{secret}{after} {quote(secret, safe='')}", [secret])
    assert secret not in text.replace(REDACTED, "")


def test_short_secrets_do_not_eat_the_text():
    """A secret of a letter or two is left alone."""
    assert redact_text("a banana", ["a"]) == "a banana"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456",
        "key sk-abcdefghijklmnopqrstuv was refused",
        "hf_abcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123",
        "see http://user:abcdef123456@host/v1?sig=abcdef123456",
    ],
)
def test_key_like_texts_are_taken_out_unasked(text):
    """What has the form of a key or of a bearer token goes even if nobody said that it is one."""
    redacted = redact_text(text)
    assert REDACTED in redacted
    for piece in ("abcdef123456", "abcdefghij", "eyJzdWIi"):
        assert piece not in redacted


def test_ordinary_words_are_no_keys():
    """Words that begin like a key's prefix stay."""
    text = "skeleton-of-an-architecture, gpt-oss-120b, pkgconfig, risk_of_something_rather_long, hf model"
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://u:p@host:1/v1", f"https://{REDACTED}@host:1/v1"),
        ("https://token@host/v1", f"https://{REDACTED}@host/v1"),
        ("https://h/v1?api-version=2&code=abc", f"https://h/v1?api-version=2&code={REDACTED}"),
        ("https://h/v1?opaque", f"https://h/v1?opaque={REDACTED}"),
        ("https://h/0a1b2c3d4e5f60718293a4b5c6d7e8f9/v1", f"https://h/{REDACTED}/v1"),
        ("https://h/v1#abc", f"https://h/v1#{REDACTED}"),
        ("outputs/run-1", "outputs/run-1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_urls_keep_their_place_and_lose_their_secrets(url, expected):
    """Scheme, host, port and path stay; user-info, query values and fragments go."""
    assert redact_url(url) == expected


def test_headers_keep_only_harmless_values():
    """An unknown header may be a secret, so only its name stays."""
    headers = {"X-Tenant": "blue", "Content-Type": "application/json", "Authorization": "Bearer x"}
    assert redact_headers(headers) == {
        "X-Tenant": REDACTED,
        "Content-Type": "application/json",
        "Authorization": REDACTED,
    }


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["serve", "--api-key", SECRET, "--port", "1"], ["serve", "--api-key", REDACTED, "--port", "1"]),
        (["serve", f"--api-key={SECRET}"], ["serve", f"--api-key={REDACTED}"]),
        (["env", f"HF_TOKEN={SECRET}", "vllm"], ["env", f"HF_TOKEN={REDACTED}", "vllm"]),
        (["run", "-p", "headers", '{"X": "abc"}'], ["run", "-p", "headers", REDACTED]),
        (["run", "-p", "api_key_env", "MY_KEY"], ["run", "-p", "api_key_env", "MY_KEY"]),
        (["run", "--api-key", "--verbose"], ["run", "--api-key", "--verbose"]),
        (["run", "-p", "url", "http://u:p@h/"], ["run", "-p", "url", f"http://{REDACTED}@h/"]),
        (["vllm", "--max-model-len", "2048"], ["vllm", "--max-model-len", "2048"]),
    ],
)
def test_command_lines_lose_the_values_of_secret_options(argv, expected):
    """The value behind a secret option goes, the rest of the line stays as it was."""
    assert redact_arguments(argv) == expected


def test_nested_values_are_redacted_by_their_names():
    """In a manifest the secrets go and everything else, numbers included, is untouched."""
    value = {
        "parameters": {
            "headers": {"X-Key": SECRET, "accept": "*/*"},
            "api_key_env": "MY_KEY",
            "max_tokens": 5,
        },
        "extra_body": {"nested": [{"password": SECRET, "top_k": 3}]},
        "command": ["vllm", "--api-key", SECRET],
        "server": {"url": f"http://u:{quote(SECRET, safe='')}@h/v1", "ready": True, "note": None},
        "token": "",
    }
    redacted = redact_values(value)
    assert "s3cret" not in json.dumps(redacted)
    assert redacted["parameters"] == {
        "headers": {"X-Key": REDACTED, "accept": "*/*"},
        "api_key_env": "MY_KEY",
        "max_tokens": 5,
    }
    assert redacted["extra_body"]["nested"][0]["top_k"] == 3
    assert redacted["server"] | {"url": ""} == {"url": "", "ready": True, "note": None}
    assert redacted["token"] == ""
