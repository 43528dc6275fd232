# How long the vectors of a model are, and what that makes of a fallback to another one.

from __future__ import annotations

import importlib.util
from typing import Any

import httpx
import pytest

from llmroute_sim.names import Unknown
from llmroute_sim.providers import load, providers
from pytest_llmroute.run import Choice, judged, trials

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed"
)
URLS = {
    "openai": "https://api.openai.com/v1", "mistral": "https://api.mistral.ai/v1",
    "together": "https://api.together.xyz/v1",
}  # fmt: skip


def embed(provider: str, model: str, **asked: Any) -> httpx.Response:
    said = {"model": model, "input": "hello", **asked}
    headers = {"authorization": "Bearer sk-test"}
    return httpx.post(f"{URLS[provider]}/embeddings", json=said, headers=headers)


def length(answer: httpx.Response) -> int:
    return len(answer.json()["data"][0]["embedding"])


@pytest.mark.parametrize(
    ("provider", "model", "numbers"),
    [
        ("openai", "text-embedding-3-small", 1536),
        ("openai", "text-embedding-3-large", 3072),
        ("openai", "text-embedding-ada-002", 1536),
        ("mistral", "mistral-embed", 1024),
    ],
)
def test_vectors_are_as_long_as_their_model_makes_them(
    llmroute: Any, provider: str, model: str, numbers: int
) -> None:
    assert length(embed(provider, model)) == numbers
    assert llmroute.history.attempts[0].dimension == numbers


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_sdk_reads_long_vectors_in_every_encoding(llmroute: Any, encoding: str | None) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key="sk-test", max_retries=0)
    asked = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(model="text-embedding-3-large", input="hello", **asked)
    shown = answer.data[0].embedding
    assert len(shown) == (4 * 3072 * 4 // 3 if encoding == "base64" else 3072)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-3-large"])
def test_dimensions_shorten_the_vectors_that_can_be_shortened(llmroute: Any, model: str) -> None:
    assert length(embed("openai", model, dimensions=512)) == 512


def test_a_model_that_knows_one_length_refuses_to_be_asked_for_another(llmroute: Any) -> None:
    answer = embed("openai", "text-embedding-ada-002", dimensions=512)
    assert answer.status_code == 400
    assert "does not support specifying dimensions" in answer.json()["error"]["message"]
    assert llmroute.history.attempts[0].error == "invalid_request"


def test_no_vector_is_longer_than_its_model_makes_it(llmroute: Any) -> None:
    answer = embed("openai", "text-embedding-3-small", dimensions=1537)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dimensions")
    assert length(embed("openai", "text-embedding-3-small", dimensions=1536)) == 1536


def test_a_provider_without_the_field_does_not_mind_it(llmroute: Any) -> None:
    assert length(embed("mistral", "mistral-embed", dimensions=256)) == 1024


def test_the_same_model_makes_the_same_vectors_wherever_it_is_served(llmroute: Any) -> None:
    llmroute.serve("vectors.example", models=["our-own"])
    for model, numbers in (("text-embedding-3-small", 1536), ("our-own", 256)):
        said = {"model": model, "input": "hello"}
        headers = {"authorization": "Bearer sk-test"}
        answer = httpx.post("https://vectors.example/v1/embeddings", json=said, headers=headers)
        assert length(answer) == numbers


def test_every_length_that_is_known_is_of_a_provider_that_makes_vectors() -> None:
    known = {name: one.sizes for name, one in providers().items() if one.sizes}
    assert set(known) == set(URLS)
    assert all(size.length > 1 for sizes in known.values() for size in sizes.values())


def test_what_becomes_of_dimensions_is_one_of_three_things() -> None:
    head = 'title = "X"\ndialect = "openai"\nhosts = ["x.example"]\n'
    with pytest.raises(Unknown, match="shorten"):
        load("x", head + '[vectors]\nm = { length = 8, dimensions = "shortens" }\n')


# -- what it makes of fallbacks

FILE = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/text-embedding-3-small, api_base: "https://one.example.net/v1", api_key: k%s}
  - model_name: b
    litellm_params: {model: openai/%s, api_base: "https://two.example.net/v1", api_key: k%s}
router_settings: {num_retries: 0, fallbacks: [{a: [b]}]}
"""


@needs_litellm
@pytest.mark.parametrize(
    ("other", "size", "outcome", "numbers"),
    [
        ("text-embedding-3-small", "", "kept", {1536}),
        ("text-embedding-3-large", "", "broken", {1536, 3072}),
        ("text-embedding-3-large", ", dimensions: 512", "kept", {512}),
    ],
)
def test_litellm_hands_out_vectors_of_two_lengths_where_a_fallback_has_another(
    read: Any, other: str, size: str, outcome: str, numbers: set[int]
) -> None:
    config = read(FILE % (size, other, size))
    choice = Choice(("vectors-from-elsewhere",), ("fallback.dimension",))
    found = [one for one in trials(config, choice)[0] if one.cell.group == "a"]
    assert len(found) == 2
    for result in map(judged, found):
        assert [verdict.outcome for verdict in result.verdicts] == [outcome]
        assert {call.dimension for call in result.history.calls} == numbers
