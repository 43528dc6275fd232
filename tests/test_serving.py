from __future__ import annotations

import contextlib
import ssl
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmroute_sim.incidents import Incident
from llmroute_sim.names import Unknown
from llmroute_sim.scenario import Scenario
from programs import AT_ONCE, QUESTION, serving
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.serving.live import closing_lines
from pytest_llmroute.serving.server import Server
from pytest_llmroute.serving.stage import Stage, chosen
from pytest_llmroute.serving.trust import VARIABLES, throw_away


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


def test_what_only_the_workload_needs_need_not_be_told(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(
        '[[incident]]\nfault = "outage"\nat = "target"\nwhen = { first = "= fails" }\n'
        '[[ask]]\ntimes = 2\nevery = "= cooldown"\n'
    )
    assert chosen(str(file), {"target": ["openai"]}, {"fails": 2}).incidents
