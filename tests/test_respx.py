from __future__ import annotations

import asyncio
import itertools
import re

import httpx
import pytest
import respx

from llmroute_sim.faults import FAULTS
from pytest_llmroute import world

URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {"authorization": "Bearer sk-test"}


def body(**more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], **more}


def read(stream, patience=120):
    """What a blocking client makes of an answer: its text, or the error that it raises."""
    sent = {"headers": HEADERS, "json": body(stream=stream), "timeout": patience}
    with httpx.stream("POST", URL, **sent) as answer:
        return answer.status_code, "".join(answer.iter_text())


async def aread(stream):
    sent = {"headers": HEADERS, "json": body(stream=stream), "timeout": 120}
    async with httpx.AsyncClient() as client, client.stream("POST", URL, **sent) as answer:
        return answer.status_code, "".join([text async for text in answer.aiter_text()])


def told(do):
    try:
        status, text = do()
        return status, re.sub(r'"created":\d+', "", text)  # the date of a world is its own
    except httpx.HTTPError as error:
        return type(error)


def blocking(stream):
    return lambda: read(stream)


def on_asyncio(stream):
    return lambda: asyncio.run(aread(stream))


WAYS = [
    pytest.param(way(stream), id=f"{way.__name__}-{'stream' if stream else 'json'}")
    for way, stream in itertools.product((blocking, on_asyncio), (False, True))
]


@pytest.mark.parametrize("way", WAYS)
def test_a_route_is_answered_by_the_world_and_counts_its_calls(llmroute, way):
    with respx.mock:
        route = respx.post(URL).mock(side_effect=llmroute.reply)
        status, text = llmroute.ask(way)
    assert status == 200
    assert route.called
    assert route.call_count == 1
    assert route.calls.last.response.status_code == 200
    assert llmroute.path == ["openai:200"]
    assert llmroute.history.marks_in(text) == llmroute.history.attempts[0].marks
    assert llmroute.history.attempts[0].call == "c1"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_scenario_has_the_same_history_through_respx_and_through_our_bytes(fault, way):
    found = []
    for mocked in (False, True):
        with world() as found_world:
            try:
                found_world.inject(fault, at="openai")
            except (TypeError, ValueError):
                pytest.skip(f"{fault} needs more than a place, or has no form in memory")
            if mocked:
                with respx.mock(assert_all_called=False) as mock:
                    mock.post(URL).mock(side_effect=found_world.reply)
                    seen = found_world.ask(told, way)
            else:
                seen = found_world.ask(told, way)
            found_world.clock.sleep(1)
            found.append((found_world.path, seen, found_world.history.digest()))
    plain, mocked = found
    assert mocked == plain


def test_a_blocking_client_under_a_running_loop_is_answered(llmroute):
    async def main():
        return read(False)

    with respx.mock:
        respx.post(URL).mock(side_effect=llmroute.reply)
        assert asyncio.run(main())[0] == 200


def test_time_in_a_route_is_virtual(llmroute):
    llmroute.inject("latency-spike", at="openai", seconds=60)
    with respx.mock:
        respx.post(URL).mock(side_effect=llmroute.reply)
        assert read(False)[0] == 200
        assert llmroute.clock.now() == 60
        with pytest.raises(httpx.ReadTimeout):
            read(False, patience=5)
    assert llmroute.clock.now() == 65


def test_a_client_that_leaves_a_mocked_stream_has_left(llmroute):
    llmroute.pace(first_token=1, token=1)
    with respx.mock:
        respx.post(URL).mock(side_effect=llmroute.reply)
        with httpx.stream("POST", URL, headers=HEADERS, json=body(stream=True)) as answer:
            next(answer.iter_text())
    assert llmroute.path == ["openai:200-left"]


def test_routes_for_other_hosts_work_beside_the_world(llmroute):
    with respx.mock(assert_all_mocked=True) as mock:
        weather = mock.get("https://weather.example/today").respond(json={"sun": True})
        mock.route(host__in=llmroute.hosts).pass_through()
        assert httpx.get("https://weather.example/today").json() == {"sun": True}
        assert read(False)[0] == 200
    assert weather.call_count == 1
    assert llmroute.path == ["openai:200"]
    assert not llmroute.history.strays


def test_a_route_whose_host_nothing_simulates_is_a_stray(llmroute):
    with respx.mock:
        respx.get("https://elsewhere.example/").mock(side_effect=llmroute.reply)
        with pytest.raises(httpx.ConnectError):
            httpx.get("https://elsewhere.example/")
    assert [stray.host for stray in llmroute.history.strays] == ["elsewhere.example"]
    llmroute.history.strays.clear()


def test_a_reply_after_the_world_ended_goes_nowhere():
    with world() as over:
        pass
    with respx.mock:
        respx.post(URL).mock(side_effect=over.reply)
        with pytest.raises(RuntimeError, match="inside of its world only"):
            read(False)


# -- respx over httpx and httpx2


@pytest.fixture
def httpx2():
    return pytest.importorskip("httpx2")


def test_our_respx_catches_httpx_and_httpx2(llmroute, httpx2):
    with llmroute.respx_mock() as mock:
        weather = mock.get("https://weather.example/").respond(text="sun")
        assert httpx.get("https://weather.example/").text == "sun"
        assert httpx2.get("https://weather.example/").text == "sun"

        async def main():
            async with httpx2.AsyncClient() as client:
                return (await client.get("https://weather.example/")).text

        assert asyncio.run(main()) == "sun"
    assert weather.call_count == 3


def test_our_respx_lets_the_world_answer_what_no_route_matches(llmroute, httpx2):
    llmroute.inject("outage", at="openai", nth=2)
    with llmroute.respx_mock(assert_all_called=False) as mock:
        mock.get("https://weather.example/")
        assert read(False)[0] == 200
        assert httpx2.post(URL, headers=HEADERS, json=body()).status_code == 503
        with pytest.raises(respx.models.AllMockedAssertionError):
            httpx2.get("https://elsewhere.example/")
    assert llmroute.path == ["openai:200", "openai:503"]
    assert not llmroute.history.strays


def test_our_respx_raises_errors_of_the_library_that_asks(llmroute, httpx2):
    with llmroute.respx_mock() as mock:
        mock.get("https://weather.example/").mock(side_effect=httpx.ConnectTimeout)
        with pytest.raises(httpx2.ConnectTimeout):
            httpx2.get("https://weather.example/")
        with pytest.raises(httpx.ConnectTimeout):
            httpx.get("https://weather.example/")


def test_an_sdk_of_today_goes_through_our_respx(llmroute, httpx2):
    openai = pytest.importorskip("openai", minversion="3")
    llmroute.inject("outage", at="openai", nth=2)
    with llmroute.respx_mock() as mock:
        route = mock.post(URL).mock(side_effect=llmroute.reply)
        client = openai.OpenAI(api_key="sk-test", max_retries=0)
        said = client.chat.completions.create(**body())
        assert said.choices[0].finish_reason == "stop"
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**body())
        llmroute.inject("reset", at="openai", after=-1)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**body())
    assert route.call_count == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_body_is_an_error_of_httpx2(llmroute, httpx2, stream):
    llmroute.inject("cut", at="openai")
    with llmroute.respx_mock() as mock:
        mock.post(URL).mock(side_effect=llmroute.reply)
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.post(URL, headers=HEADERS, json=body(stream=stream))


def test_our_respx_leaves_nothing_behind(llmroute):
    import httpcore

    before = httpcore.ConnectionPool.handle_request
    with llmroute.respx_mock():
        assert httpcore.ConnectionPool.handle_request is not before
    assert httpcore.ConnectionPool.handle_request is before


# -- other mocks beside us


def test_pytest_httpx_mocks_other_hosts_beside_the_world(pytester):
    pytester.makepyfile("""
        import httpx, pytest

        @pytest.mark.httpx_mock(should_mock=lambda request: request.url.host == "weather.example")
        def test_it(llmroute, httpx_mock):
            httpx_mock.add_response(url="https://weather.example/", text="sun")
            llmroute.inject("outage", at="openai")
            url = "https://api.openai.com/v1/chat/completions"
            assert httpx.get("https://weather.example/").text == "sun"
            said = [{"role": "user", "content": "hello"}]
            answer = httpx.post(url, headers={"authorization": "Bearer k"},
                                json={"model": "gpt-4o", "messages": said})
            assert answer.status_code == 503
            assert llmroute.path == ["openai:503"]
    """)
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=1)


CASSETTE = """
version: 1
interactions:
- request: {body: '', headers: {}, method: GET, uri: 'https://weather.example/'}
  response:
    status: {code: 200, message: OK}
    headers: {content-type: [text/plain]}
    body: {string: sun}
"""


def test_vcr_replays_other_hosts_beside_the_world(llmroute, tmp_path):
    vcr = pytest.importorskip("vcr")
    cassette = tmp_path / "weather.yaml"
    cassette.write_text(CASSETTE)
    with vcr.use_cassette(cassette, record_mode="none", ignore_hosts=llmroute.hosts):
        assert httpx.get("https://weather.example/").text == "sun"
        assert read(False)[0] == 200
    assert llmroute.path == ["openai:200"]
