from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.history import fingerprint
from llmroute_sim.incidents import Incident
from llmroute_sim.scenario import Scenario
from llmroute_sim.wire import Address, Request
from programs import AT_ONCE, serving
from pytest_llmroute.report.rejudged import history_of
from pytest_llmroute.serving.admin import Admin
from pytest_llmroute.serving.asked import ROUTES
from pytest_llmroute.serving.server import Server
from pytest_llmroute.serving.stage import Stage


@pytest.fixture
def client():
    with serving() as made:
        yield made


# -- incidents


def test_what_is_injected_is_met_until_it_is_healed(client):
    said = {"fault": {"name": "outage", "status": 500}, "at": "openai/gpt-4o-mini", "when": {"first": 9}}  # fmt: skip
    status, shown = client.admin("POST", "incidents", said)
    assert (status, shown["id"], shown["healed"]) == (201, 0, False)
    assert {key: shown[key] for key in said} == {**said, "at": [said["at"]]}
    assert client.ask()[0] == 500
    assert client.admin("DELETE", "incidents/0")[1]["healed"]
    assert client.ask()[0] == 200
    (only,) = client.admin("GET", "incidents")[1]
    assert (only["seen"], only["met"], only["healed"]) == (1, 1, True)


@pytest.mark.parametrize(
    "fault",
    ["outage", {"name": "rate-limit", "retry-after": 2}, {"name": "stall", "after": 3}, "refused"],
    ids=str,
)
def test_what_is_shown_can_be_injected_again(client, fault):
    shown = client.admin("POST", "incidents", {"fault": fault, "when": {"between": [60, 90]}})[1]
    again = {key: shown[key] for key in ("fault", "at", "when")}
    assert Incident.read(again) == client.server.served.world.incidents[0].incident
    assert client.admin("POST", "incidents", again)[0] == 201


def test_healing_all_ends_every_incident(client):
    for fault in ("outage", "cut", "refused"):
        client.admin("POST", "incidents", {"fault": fault})
    status, shown = client.admin("DELETE", "incidents")
    assert (status, [one["healed"] for one in shown]) == (200, [True] * 3)
    assert client.ask()[0] == 200


@pytest.mark.parametrize(
    ("said", "message", "closest"),
    [
        ({"fault": "outag"}, "unknown fault 'outag'", "outage"),
        ({"fault": "outage", "at": "opnai"}, "unknown place 'opnai'", "openai"),
        ({"fault": "outage", "wen": {}}, "unknown key of an incident 'wen'", "when"),
        ({"fault": {"name": "cut", "afer": 1}}, "'afer'", "after"),
        ({"fault": "outage", "when": {"frist": 1}}, "unknown key of when 'frist'", "first"),
        ({"fault": "outage", "when": {"chance": "often"}}, "chance", None),
        ({"fault": "outage", "when": {"between": [1]}}, "between", None),
        ({"at": "openai"}, "fault", None),
        ({"fault": 3, "at": 4}, "fault", None),
        (b"oops", "not JSON", None),
        (b"[1]", "not a JSON object but list", None),
        (b"\xff{}", "not UTF-8", None),
        (b'{"fault": {"name": "latency-spike", "seconds": NaN}}', "NaN is no number", None),
        (b"[" * 200_000, "not JSON", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_answered_with_what_is_wrong_and_injects_nothing(
    client, said, message, closest
):
    status, answer = client.admin("POST", "incidents", said)
    assert status == 400
    assert message in answer["error"]["message"]
    assert answer["error"].get("closest") == closest
    assert client.admin("GET", "incidents")[1] == []
    assert client.ask()[0] == 200


WORDS = st.sampled_from(
    ["fault", "at", "when", "name", "outage", "stall", "openai", "*", "first", "between", "chance",
     "after", "seconds", "requests", "first-token", "input", "labels", "answer", "", "#", "/", "é"]
)  # fmt: skip
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=9,
)


@given(path=st.sampled_from([r.path for r in ROUTES if r.method == "POST"]), said=VALUES)
def test_whatever_is_said_is_taken_or_refused_and_nothing_else_happens(path, said):
    admin = Admin(Server(Stage(AT_ONCE)))
    headers = (("host", "localhost"),)
    request = Request("POST", f"/{path}", headers, json.dumps(said).encode(), Address("", 0))
    head, *_ = admin.open(request)
    assert head.status in (200, 201, 400)


def test_a_fault_that_has_no_form_here_is_refused_with_the_reason(client):
    client.admin("POST", "reset")
    status, answer = client.admin("POST", "incidents", {"fault": "name-not-found"})
    assert (status, "cannot be performed here" in answer["error"]["message"]) == (400, True)
    incident = Incident.read({"fault": "name-not-found"})
    with pytest.raises(ValueError, match="cannot be performed here"):
        Server(Stage(Scenario("s", incidents=(incident,))))


# -- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "llmroute.attacker.example"},
        {"host": "127.0.0.1.nip.example:80"},
        {"host": "192.0.2.1"},
        {"host": ""},
        {"origin": "https://attacker.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_can_neither_inject_nor_read(client, headers):
    for method, path in (("POST", "incidents"), ("GET", "history"), ("POST", "reset")):
        status, answer = client.admin(method, path, {"fault": "outage"}, **headers)
        assert status == 403
        assert "history" not in answer
    assert client.server.served.world.incidents == ()


@pytest.mark.parametrize("host", ["localhost:80", "localhost", "127.0.0.1", "[::1]:8080", "127.9.9.9"])  # fmt: skip
def test_loopback_may_ask_by_any_of_its_names(client, host):
    assert client.admin("GET", "health", host=host, sec_fetch_site="none")[0] == 200
    assert client.admin("GET", "health", host=host, origin=f"http://{host}")[0] == 200


def test_a_preflight_is_given_no_leave(client):
    status, answer = client.admin("OPTIONS", "incidents", origin="http://localhost:3000")
    assert status == 403
    assert "access-control" not in json.dumps(answer)


def test_a_body_that_is_too_large_is_not_read(client):
    status, answer = client.admin("POST", "incidents", b'{"fault": "' + b"x" * (1 << 20) + b'"}')
    assert status == 413
    assert "at most 1048576" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "incidnts", 404, "did you mean /_llmroute/incidents?"),
        ("PUT", "incidents", 405, "takes GET, POST, DELETE, not PUT"),
        ("DELETE", "incidents/7", 404, "no incident '7'; there are none"),
        ("GET", "history/all", 404, "/_llmroute/history"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(client, method, path, status, says):
    found, answer = client.admin(method, path)
    assert (found, says in answer["error"]["message"]) == (status, True)


def test_the_index_names_every_endpoint_and_every_provider(client):
    status, index = client.admin("GET", "")
    assert status == 200
    assert "POST /_llmroute/incidents" in index["endpoints"]
    assert index["base_urls"] == client.server.urls
    assert client.admin("HEAD", "health") == (200, None)
    assert client.admin("GET", "environment")[1] == client.server.environment


# -- what happened


def test_the_history_can_be_read_again_and_holds_no_key(client):
    client.ask(call="checkout-1")
    saved = client.admin("GET", "history")[1]
    (attempt,) = history_of(saved).attempts
    secret = client.server.environment["OPENAI_API_KEY"]
    assert (attempt.call, attempt.step, attempt.key) == ("checkout-1", "openai:200", fingerprint(secret))  # fmt: skip
    assert saved["clock"] == "real"
    assert secret not in json.dumps(saved)


def test_a_call_is_begun_by_its_header_and_ended_by_what_its_caller_tells(client):
    client.admin("POST", "incidents", {"fault": "outage", "when": {"first": 1}})
    client.ask(call="k 1")
    answer = client.ask(call="k 1")[1]["choices"][0]["message"]["content"]
    told = {"group": "chat", "labels": {"tenant": "a"}, "answer": answer, "finish": "stop"}
    status, call = client.admin("POST", "calls/k%201", told)
    assert (status, call) == (200, {"id": "k 1", "outcome": "answered", "path": ["openai:503", "openai:200"]})  # fmt: skip
    history = client.server.served.world.history
    (record,) = history.calls
    assert (record.group, record.labels, record.finish) == ("chat", {"tenant": "a"}, "stop")
    assert history.sources(record) == (history.attempts[1],)
    assert answer not in json.dumps(history.to_dict())
    assert "is over" in client.admin("POST", "calls/k%201", told)[1]["error"]["message"]


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"failure": "RateLimitError", "status": 429}, "failed"),
        ({"left": True}, "left"),
        ({"answer": ""}, "answered"),
        ({"group": "chat"}, "open"),
    ],
)
def test_a_caller_tells_how_its_call_ended(client, told, outcome):
    client.ask(call="k")
    assert client.admin("POST", "calls/k", told)[1]["outcome"] == outcome


def test_a_wrong_word_about_a_call_is_named(client):
    answer = client.admin("POST", "calls/k", {"anser": "x"})[1]
    assert answer["error"]["closest"] == "answer"
    assert (
        "not of type str" in client.admin("POST", "calls/k", {"answer": 3})[1]["error"]["message"]
    )
    assert client.server.served.world.history.calls == []
