from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmroute_sim.history import Attempt, fingerprint
from llmroute_sim.incidents import Incident
from llmroute_sim.names import Unknown
from llmroute_sim.scenario import Scenario
from llmroute_sim.wire import Address, Request
from pytest_llmroute.cli import main
from pytest_llmroute.cli.variables import lines
from pytest_llmroute.report.rejudged import history_of
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.serving.addresses import past_proxies
from pytest_llmroute.serving.admin import Admin
from pytest_llmroute.serving.asked import ROUTES
from pytest_llmroute.serving.live import Board, closing_lines
from pytest_llmroute.serving.served import News
from pytest_llmroute.serving.server import Server
from pytest_llmroute.serving.stage import Stage, chosen
from pytest_llmroute.serving.trust import VARIABLES, throw_away

LLMROUTE = Path(sys.executable).with_name("llmroute")
QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
AT_ONCE = Scenario("", first_token=0, per_token=0)


class Client:
    """One program on the other side of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def send(self, method, url, said=None, **headers):
        """Status and answer; headers with ``_`` for ``-``."""
        parts = urlsplit(url)
        if parts.scheme == "https":
            trusted = ssl.create_default_context(cafile=self.server.environment["SSL_CERT_FILE"])
            connection = HTTPSConnection(parts.hostname, parts.port, timeout=30, context=trusted)
        else:
            connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = said if isinstance(said, bytes) else None if said is None else json.dumps(said)
        with contextlib.closing(connection):
            connection.request(method, parts.path or "/", body, named)
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text else None

    def admin(self, method, path, said=None, **headers):
        return self.send(method, f"{self.server.origin}/_llmroute/{path}", said, **headers)

    def ask(self, provider="openai", call=None, **changes):
        marker = {} if call is None else {"x_llmroute_call": call}
        url = self.server.urls[provider]
        secret = self.server.environment[f"{provider.upper()}_API_KEY"]
        return self.send(
            "POST",
            f"{url}/chat/completions",
            QUESTION | changes,
            authorization=f"Bearer {secret}",
            **marker,
        )


@contextlib.contextmanager
def serving(stage: Stage | None = None, **options) -> Iterator[Client]:
    server = Server(stage or Stage(AT_ONCE), **options)
    with server.carrier:
        yield Client(server)


@pytest.fixture
def client():
    with serving() as made:
        yield made


# -- where providers are


def test_every_provider_answers_below_its_name_with_the_path_of_its_own_base_url(client):
    urls = client.server.urls
    assert urls["openai"] == f"{client.server.origin}/openai/v1"
    assert urls["groq"] == f"{client.server.origin}/groq/openai/v1"
    assert client.server.environment["ANTHROPIC_BASE_URL"] == f"{client.server.origin}/anthropic"
    assert client.ask()[0] == 200
    assert client.ask("groq", model="llama-3.3-70b-versatile")[0] == 200
    assert client.admin("GET", "path")[1] == ["openai:200", "groq:200"]


def test_only_a_listener_of_its_own_refuses_a_connection_and_the_variables_lead_there():
    with serving(listeners={"openai": 0}) as client:
        url = client.server.environment["OPENAI_BASE_URL"]
        assert not url.startswith(client.server.origin)
        client.admin("POST", "incidents", {"fault": "refused", "at": ["openai", "groq"]})
        with pytest.raises(ConnectionRefusedError):
            client.ask()
        with pytest.raises(ConnectionResetError):
            client.ask("groq")
        client.admin("DELETE", "incidents")
        assert client.ask()[0] == 200
        client.admin("POST", "incidents", {"fault": "refused", "at": "groq"})
        world, unseen = client.server.served.world, client.server.unseen
        shown = list(closing_lines(world.history, world.incidents, Page(), unseen))
        assert shown[-2].startswith("0 refused at openai, groq: the port of its own refuses")
        assert shown[-1] == "not met: 1 refused at groq"


@pytest.mark.parametrize("provider", ["groq", "together", "mistral"])
def test_the_variable_of_a_listener_leads_where_that_of_the_shared_port_does(client, provider):
    variable = f"{provider.upper()}_BASE_URL"
    with serving(listeners={provider: 0}) as other:
        behind = urlsplit(client.server.environment[variable]).path
        assert behind == f"/{provider}{urlsplit(other.server.environment[variable]).path}"


def test_a_listener_of_nobody_is_named_with_the_closest():
    with pytest.raises(Unknown, match="'opnai'; did you mean 'openai'"):
        Server(Stage(), listeners={"opnai": 0})


@pytest.fixture
def over_tls():
    pytest.importorskip("trustme")
    with throw_away() as trust, serving(trust=trust, listeners={"groq": 0}) as made:
        yield made


def test_with_tls_every_provider_is_served_by_https_alone_and_what_controls_it_by_http(over_tls):
    server = over_tls.server
    leading = {name: url for name, url in server.environment.items() if name.endswith("_URL")}
    assert {urlsplit(url).scheme for url in leading.values()} == {"https"}
    assert len(set(leading.values())) == len(leading)
    assert {Path(server.environment[name]).read_text("ascii") for name in VARIABLES} == {
        server.carrier.authority
    }
    assert over_tls.ask()[0] == 200
    assert over_tls.ask("groq", model="llama-3.3-70b-versatile")[0] == 200
    assert over_tls.admin("GET", "path")[1] == ["openai:200", "groq:200"]


def test_a_certificate_that_does_not_hold_is_refused_by_the_client_until_it_is_healed(over_tls):
    wrong = {"fault": {"name": "tls-failure", "reason": "expired"}, "at": "openai"}
    over_tls.admin("POST", "incidents", wrong)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        over_tls.ask()
    assert over_tls.ask("groq", model="llama-3.3-70b-versatile")[0] == 200
    over_tls.admin("DELETE", "incidents")
    assert over_tls.ask()[0] == 200
    assert over_tls.admin("GET", "path")[1] == ["openai:tls-expired", "groq:200", "openai:200"]


def test_who_does_not_trust_the_authority_is_not_served(over_tls):
    place = urlsplit(over_tls.server.urls["openai"])
    stranger = HTTPSConnection(place.hostname, place.port, context=ssl.create_default_context())
    with contextlib.closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/v1/models")
    assert over_tls.admin("GET", "path")[1] == []


def test_without_what_makes_certificates_tls_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    ran = llmroute("serve", "--tls")
    assert (ran.exit_code, "pip install trustme" in ran.stderr) == (2, True)
    assert "Traceback" not in ran.stderr


def test_hosts_of_a_configuration_are_served_by_their_labels(tmp_path):
    from pytest_llmroute.configs import read

    (tmp_path / "gateway.yaml").write_text(
        "model_list:\n"
        "  - model_name: own\n"
        "    litellm_params: {model: openai/our-model, api_base: 'https://llm.example.com/v1'}\n"
        "  - model_name: chat\n"
        "    litellm_params: {model: openai/gpt-4o}\n",
        "utf-8",
    )
    config = read(tmp_path / "gateway.yaml")
    with serving(Stage(AT_ONCE, config.deployments)) as client:
        (label,) = client.server.stage.labels
        url = f"{client.server.urls[label]}/v1/chat/completions"
        said = QUESTION | {"model": "our-model"}
        assert client.send("POST", url, said, authorization="Bearer sk")[0] == 200
        assert client.send("POST", url, QUESTION | {"model": "other"}, authorization="Bearer sk")[0] == 404  # fmt: skip
        assert client.admin("GET", "path")[1] == [f"{label}:200", f"{label}:404"]


def test_the_sdks_of_python_find_their_way_by_the_variables(client, monkeypatch):
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    for name, value in client.server.environment.items():
        monkeypatch.setenv(name, value)
    messages = [{"role": "user", "content": "hello"}]
    limit = {"fault": {"name": "rate-limit", "retry-after": 0}, "when": {"every": 2}}
    client.admin("POST", "incidents", limit)
    with openai.OpenAI() as gpt, anthropic.Anthropic() as claude:
        said = gpt.chat.completions.create(model="gpt-4o-mini", messages=messages)
        pieces = gpt.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        texts = [said.choices[0].message.content]
        texts.append("".join(piece.choices[0].delta.content or "" for piece in pieces))
        settings = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": messages}
        texts.append(claude.messages.create(**settings).content[0].text)
        with claude.messages.stream(**settings, extra_headers={"x-llmroute-call": "k"}) as stream:
            texts.append("".join(stream.text_stream))
    history = client.server.served.world.history
    answers = [attempt for attempt in history.attempts if attempt.outcome == "200"]
    assert [history.marks_in(text) for text in texts] == [one.marks for one in answers]
    assert [one.outcome for one in history.of(history.calls[0])] == ["429", "200"]


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


# -- the world


def test_a_reset_begins_the_scenario_anew():
    outage = Incident.read({"fault": "outage", "at": "openai", "when": {"first": 1}})
    stage = Stage(Scenario("s", first_token=0, per_token=0, incidents=(outage,)))
    with serving(stage) as client:
        client.admin("POST", "incidents", {"fault": "refused"})
        client.admin("DELETE", "incidents/1")
        assert [client.ask()[0] for _ in range(2)] == [503, 200]
        assert client.admin("POST", "reset")[0] == 200
        assert client.admin("GET", "path")[1] == []
        assert [one["met"] for one in client.admin("GET", "incidents")[1]] == [0]
        assert [client.ask()[0] for _ in range(2)] == [503, 200]
        assert client.admin("POST", "reset", {"hard": True})[0] == 400


def test_a_reset_opens_a_listener_that_refused():
    with serving(listeners={"openai": 0}) as client:
        client.admin("POST", "incidents", {"fault": "refused", "at": "openai"})
        with pytest.raises(ConnectionRefusedError):
            client.ask()
        client.admin("POST", "reset")
        assert client.ask()[0] == 200


def test_limits_pace_and_bills_can_be_changed(client):
    assert client.admin("POST", "bill", {"input": 1000, "output": 7})[0] == 200
    assert client.ask()[1]["usage"]["total_tokens"] == 1007
    client.admin("POST", "bill", {})
    assert client.ask()[1]["usage"]["total_tokens"] < 100
    assert client.admin("POST", "pace", {"per-token": 0.001}) == (
        200,
        {"first-token": 0, "per-token": 0.001},
    )
    assert client.admin("POST", "limit", {"at": "openai", "requests": 1})[0] == 200
    assert [client.ask()[0] for _ in range(2)] == [200, 429]
    assert client.admin("POST", "limit", {"at": "openai", "requests-per-day": 9})[0] == 200
    assert client.ask()[0] == 200
    assert client.admin("POST", "credit", {"at": "openai", "usd": 0})[0] == 200
    assert client.ask()[0] == 429
    assert client.admin("POST", "credit", {"at": "openai", "usd": None})[0] == 200
    assert client.ask()[0] == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("limit", {"requests": 1}),
        ("limit", {"at": "openai", "requests": 0}),
        ("limit", {"at": "openai", "requests": "1"}),
        ("limit", {"at": "opnai", "requests": 1}),
        ("limit", {"at": "openai", "request": 1}),
        ("credit", {"at": "openai", "usd": "much"}),
        ("credit", {"at": "openai", "eur": 1}),
        ("pace", {"first-token": -1}),
        ("pace", {"first": 1}),
        ("bill", {"input": True}),
    ],
    ids=str,
)
def test_impossible_limits_and_paces_are_refused(client, path, said):
    assert client.admin("POST", path, said)[0] == 400
    assert client.ask()[0] == 200


def test_waits_and_windows_run_at_one_scale():
    soon = Incident.read({"fault": "outage", "when": {"between": [0, 400]}})
    slow = Incident.read({"fault": {"name": "latency-spike", "seconds": 300}, "at": "groq"})
    stage = Stage(Scenario("", incidents=(soon, slow), first_token=200), scale=1e-3)
    with serving(stage) as client:
        history = client.server.served.world.history
        assert client.ask()[0] == 503
        while client.server.served.world.clock.now() < 400:
            pass
        assert client.ask()[0] == 200
        assert client.ask("groq", model="llama-3.3-70b-versatile")[0] == 200
        plain, slowed = history.attempts[-2:]
        assert 200 <= plain.ended - plain.started < slowed.ended - slowed.started
        assert slowed.ended - slowed.started >= 500
        assert history.clock == "real x1000"


# -- scenarios


def test_a_scenario_is_found_by_name_or_file_and_its_roles_are_filled_in(tmp_path):
    found = chosen("outage-503", {"target": ["openai", "groq/some"]}, {})
    assert [str(place) for place in found.incidents[0].at] == ["openai", "groq/some"]
    file = tmp_path / "own.toml"
    file.write_text(
        '[[incident]]\nfault = "cut"\nat = "target"\nwhen = { first = "= fails" }', "utf-8"
    )
    found = chosen(str(file), {"target": ["groq"]}, {"fails": 4})
    assert found.incidents[0].when.first == 4


def test_what_only_the_workload_needs_need_not_be_told():
    assert chosen("cooldown-window", {"target": ["openai"]}, {"fails": 2}).incidents


# -- what is shown


def test_a_line_for_each_attempt_says_who_was_asked_and_what_came_of_it():
    shown: list[str] = []
    board = Board(shown.append, Page(plain=True))
    with serving(tell=board.tell) as client:
        client.admin("POST", "incidents", {"fault": "outage", "at": "openai"})
        client.ask(call="k1")
        client.send("GET", f"{client.server.origin}/opnai/v1/models")
    injected, asked, stray = shown
    assert injected.split("s  ", 1)[1] == "-- injected 0: outage at openai"
    key = fingerprint(client.server.environment["OPENAI_API_KEY"])
    words = asked.split()
    assert words[1:3] == ["openai/gpt-4o-mini", "503"]
    assert asked.endswith(f"key {key}  call k1  ! outage at openai")
    assert stray.endswith("/opnai: nothing is simulated there")


def test_what_strangers_write_cannot_steer_the_terminal():
    shown: list[str] = []
    attempt = Attempt("a1", "k\x1b[2J", 1, 0.0, "openai", "openai", "h", model="gpt\n\u202eé")
    for plain in (True, False):
        Board(shown.append, Page(plain=plain)).tell(attempt)
    assert all(line.isprintable() for line in shown)
    assert shown[0].isascii()
    assert "é" in shown[1]


def test_a_reader_that_went_away_does_not_stop_the_server():
    def gone(line: str) -> None:
        raise BrokenPipeError

    board = Board(gone, Page())
    with serving(tell=board.tell) as client:
        assert client.ask()[0] == 200
        board.tell(News(0, "still here"))


def test_the_closing_says_what_was_met_and_what_was_not(client):
    client.admin("POST", "incidents", {"fault": "outage", "at": "openai"})
    client.admin("POST", "incidents", {"fault": "cut", "at": "groq"})
    client.ask()
    client.admin("DELETE", "incidents/0")
    client.ask()
    world = client.server.served.world
    shown = list(closing_lines(world.history, world.incidents, Page(plain=True)))
    row, faults = [line.split() for line in shown if line.startswith("openai ")]
    assert row[:5] == ["openai", "2", "1", "1", "0"]
    assert faults == ["openai", "1"]
    assert shown[-1] == "not met: 1 cut at groq"


def test_an_attempt_that_runs_when_the_server_ends_is_shown_as_left():
    told: list[object] = []
    with serving(tell=told.append) as client:
        client.admin("POST", "incidents", {"fault": {"name": "stall", "after": 1}})
        url = urlsplit(client.server.urls["openai"])
        body = json.dumps(QUESTION | {"stream": True}).encode()
        sock = socket.create_connection((url.hostname, url.port), timeout=30)
        sock.sendall(
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"authorization: Bearer sk\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert sock.recv(65536)
    with sock:
        while sock.recv(65536):
            pass
    (attempt,) = [one for one in told if isinstance(one, Attempt)]
    assert (attempt.outcome, attempt.left) == ("200-stall", True)


# -- variables


def test_variables_are_written_as_each_shell_reads_them():
    found = {"A": "it's $HOME", "B": "plain"}
    assert lines(found, "sh") == ["""export A='it'"'"'s $HOME'""", "export B=plain"]
    assert lines(found, "fish") == [r"set -gx A 'it\'s $HOME'", "set -gx B 'plain'"]
    assert lines(found, "powershell") == ["$env:A = 'it''s $HOME'", "$env:B = 'plain'"]
    assert json.loads("".join(lines(found, "json"))) == found


def test_a_proxy_is_told_to_leave_loopback_alone():
    assert past_proxies({}) == {}
    found = past_proxies({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "intranet"})
    assert found == {"NO_PROXY": "intranet,127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


# -- the command


def llmroute(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["outag-503"], "did you mean 'outage-503'?"),
        (["outage-503"], "leaves open target: add --target PLACE"),
        (["outage-503", "--target", "opnai"], "unknown place 'opnai'; did you mean 'openai'?"),
        (["outage-503", "--target", "openai", "--number", "targt=1"], "did you mean 'target'?"),
        (["outage-503", "--number", "fails"], "is not a number (write fails=1)"),
        (["--target", "openai"], "name one"),
        (["nowhere.toml"], "nowhere.toml"),
        (["--listener", "opnai"], "did you mean 'openai'?"),
        (["--listener", "openai=high"], "'high' is not a number"),
        (["--listener", "openai=70000"], "up to 65535"),
        (["--port", "70000"], "70000"),
        (["--config", "nowhere.yaml"], "no such file"),
        (["--history", "nowhere/h.json"], "nowhere/h.json"),
        (["--time-scale", "0"], "0"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_message_and_exit_status_2(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = llmroute("serve", *arguments)
    assert ran.exit_code == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[incident]\nfault = "outage"', "own.toml"),
        ('[[incident]]\nfault = "outag"', "did you mean 'outage'?"),
        ('[[incident]]\nfault = "outage"\nwhen = { first = "= 1 +" }', "not a sum"),
        ('incdent = "x"', "did you mean 'incident'?"),
        ('[[ask]]\ntimes = "often"', "often"),
        ("\xff", "UTF-8"),
    ],
    ids=lambda text: text[:24],
)
def test_a_scenario_file_with_something_wrong_in_it_is_not_served(
    tmp_path, monkeypatch, text, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_bytes(text.encode("latin-1"))
    ran = llmroute("serve", "own.toml")
    assert ran.exit_code == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = llmroute("serve", "--port", port)
        assert (ran.exit_code, f"port {port} of 127.0.0.1: it is already in use" in ran.stderr) == (2, True)  # fmt: skip


def test_env_says_when_nobody_serves():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ran = llmroute("env", port, "--wait", 0)
    assert (ran.exit_code, f"nothing answers on port {port}" in ran.stderr) == (2, True)


def test_what_a_foreign_program_did_is_judged_by_what_it_promised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llmroute.toml").write_text(
        'format = 1\n[router]\nkind = "callable"\ncall = "none:ask"\ngroup = "chat"\n'
        '[[promise]]\ncontract = "retry.bounded"\ntarget = "openai"\nretries = 1\n',
        "utf-8",
    )
    for tries, sign in ((2, "✓"), (3, "✗")):
        with serving() as client:
            client.admin("POST", "incidents", {"fault": "outage", "when": {"first": tries - 1}})
            for _ in range(tries):
                client.ask(call="k")
            client.admin("POST", "calls/k", {"group": "chat", "answer": "", "finish": "stop"})
            history = client.admin("GET", "history")[1]
        (tmp_path / "history.json").write_text(json.dumps(history), "utf-8")
        shown = llmroute("judge", "history.json", "--config", "llmroute.toml").stdout
        assert f"{sign}   1 retry.bounded" in shown


@contextlib.contextmanager
def started(*arguments, **variables):
    """A server in a process of its own, once it says that it is ready, and what it said until then."""
    server = subprocess.Popen(
        [LLMROUTE, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, **variables},
    )  # fmt: skip
    try:
        said = []
        for line in server.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("ready on "):
                break
        yield server, said
    finally:
        server.kill()
        server.communicate()


def over(server, number=signal.SIGINT):
    server.send_signal(number)
    out, err = server.communicate(timeout=60)
    return server.returncode, out, err


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_command_serves_until_ctrl_c_and_saves_what_happened(tmp_path):
    saved = tmp_path / "history.json"
    with started("outage-503", "--target", "openai", "--history", saved, PYTHONIOENCODING="ascii") as (server, said):  # fmt: skip
        origin = said[-1].removeprefix("ready on ")
        assert f"export OPENAI_BASE_URL={origin}/openai/v1" in said
        assert any("workload is not played" in line for line in said)
        port = origin.rpartition(":")[2]
        variables = json.loads(llmroute("env", port, "--format", "json").stdout)
        assert variables["OPENAI_BASE_URL"] == f"{origin}/openai/v1"

        def curl(url, *arguments):
            command = ["curl", "-s", "--noproxy", "*", *arguments, url]
            return json.loads(subprocess.check_output(command, timeout=30))

        ask = ["-H", "authorization: Bearer sk", "-d", json.dumps(QUESTION)]
        assert "error" in curl(f"{variables['OPENAI_BASE_URL']}/chat/completions", *ask)
        curl(f"{origin}/_llmroute/incidents", "-X", "DELETE")
        assert "choices" in curl(f"{variables['OPENAI_BASE_URL']}/chat/completions", *ask)
        status, out, err = over(server)
    assert (status, err) == (0, "")
    assert out.isascii()
    first, healed, second, *closing = out.splitlines()
    assert first.endswith("! outage at openai")
    assert "-- healed 0" in healed
    assert "200" in second
    assert any(line.startswith("openai ") for line in closing)
    history = history_of(json.loads(saved.read_text("utf-8")))
    assert history.path == ["openai:503", "openai:200"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_trusts_by_its_variable_what_is_served_and_the_authority_is_thrown_away():
    pytest.importorskip("trustme")
    with started("--quiet", "--tls", "--listener", "openai") as (server, said):
        told = dict(line.removeprefix("export ").split("=", 1) for line in said if "=" in line)
        command = ["curl", "-sS", "--noproxy", "*", f"{told['OPENAI_BASE_URL']}/models"]
        authority = Path(told["CURL_CA_BUNDLE"])
        asked = [
            subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=30, check=False
            )
            for env in ({"PATH": os.environ["PATH"]}, {**os.environ, **told})
        ]
        assert authority.exists()
        assert over(server) == (0, "", "")
    assert [one.returncode for one in asked] == [60, 0]
    assert "error" in json.loads(asked[1].stdout)
    assert not authority.exists()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
def test_a_quiet_server_is_ended_by_a_signal_though_nobody_reads_it():
    with started("--quiet", "--listener", "openai") as (server, said):
        origin = said[-1].removeprefix("ready on ")
        assert not any(line.startswith(f"export OPENAI_BASE_URL={origin}/") for line in said)
        assert over(server, signal.SIGTERM) == (0, "", "")
