from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from llmroute_sim.history import Attempt, fingerprint
from programs import LLMROUTE, QUESTION, serving
from pytest_llmroute.cli import main
from pytest_llmroute.cli.variables import lines
from pytest_llmroute.report.rejudged import history_of
from pytest_llmroute.report.terminal import Page
from pytest_llmroute.serving.addresses import past_proxies
from pytest_llmroute.serving.live import Board, closing_lines
from pytest_llmroute.serving.served import News


@pytest.fixture
def client():
    with serving() as made:
        yield made


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


def test_without_what_makes_certificates_tls_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    ran = llmroute("serve", "--tls")
    assert (ran.exit_code, "pip install trustme" in ran.stderr) == (2, True)
    assert "Traceback" not in ran.stderr
