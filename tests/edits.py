# What is edited in a config.yaml of LiteLLM's, what its promises are before and after, and what
# LiteLLM itself asks then. Each derived key has at least one edit here.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pytest_llmroute.promises import Promise

GROUPS = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o, api_base: "https://one.example.net/v1", api_key: k1%s}
%s  - model_name: b
    litellm_params: {model: openai/gpt-4o, api_base: "https://two.example.net/v1", api_key: k2}
  - model_name: c
    litellm_params: {model: openai/gpt-4o, api_base: "https://three.example.net/v1", api_key: k3}
"""
PAIR = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/gpt-4o, api_base: "https://one.example.net/v1", api_key: k1%s}
%s  - model_name: a
    litellm_params: {model: openai/gpt-4o, api_base: "https://two.example.net/v1", api_key: k2%s}
"""
VECTORS = """\
model_list:
  - model_name: a
    litellm_params: {model: openai/text-embedding-3-small, api_key: k1%s}
"""
FIRST = (", weight: 9999", "", ", weight: 1")
"""Chance leaves the first of a pair out once in ten thousand calls."""


@dataclass(frozen=True, slots=True)
class Edit:
    """``before`` and ``after`` are files; of the promises of ``contract`` for a group, those of the
    key, ``says`` tells what is told apart. ``asks`` is a scenario in which the real LiteLLM makes
    other attempts before than after, told as ``attempts`` are; ``why`` is the reason where it makes the
    same, or where nothing can be played."""

    key: str
    before: str
    after: str
    contract: str
    says: Callable[[Promise], Any]
    promised: tuple[list[Any], list[Any]]
    asks: str | None = None
    attempts: tuple[Any, Any] | None = None
    entry: str = "chat-async"
    group: str = "a"
    kind: str = "config"
    why: str = ""


def one(params: str = "", info: str = "") -> str:
    more = f"    model_info: {{{info}}}\n" if info else ""
    return GROUPS % (params and f", {params}", more)


def pair(first: str = "", second: str = "", info: str = "") -> str:
    more = f"    model_info: {{{info}}}\n" if info else ""
    return PAIR % (first and f", {first}", more, second and f", {second}")


def heavy(info: str = "", first: str = "") -> str:
    return pair("weight: 9999" + (first and f", {first}"), "weight: 1", info)


def router(*lines: str) -> str:
    return "router_settings:\n" + "".join(f"  {line}\n" for line in lines)


def litellm(*lines: str) -> str:
    return "litellm_settings:\n" + "".join(f"  {line}\n" for line in lines)


def of(name: str) -> Callable[[Promise], Any]:
    """A parameter of the contract."""
    return lambda promise: getattr(promise.contract, name)


def chain(promise: Promise) -> list[str]:
    contract: Any = promise.contract
    return [target.name for target in getattr(contract, "chain", None) or contract.allowed]


def hosts(promise: Promise) -> list[str]:
    contract: Any = promise.contract
    targets = getattr(contract, "chain", None) or getattr(contract, "targets", ())
    return [target.deployments[0][0].partition(".")[0] for target in targets]


def place(promise: Promise) -> tuple[str, Any]:
    """The target of a contract by its host, and its figure."""
    contract: Any = promise.contract
    figure = next(
        getattr(contract, name)
        for name in ("limit", "window", "failures", "seconds")
        if getattr(contract, name, None) is not None
    )
    return contract.target.deployments[0][0].partition(".")[0], figure


def shares(promise: Promise) -> list[tuple[str, Any]]:
    contract: Any = promise.contract
    pairs = getattr(contract, "shares", None) or contract.prices
    return [(target.deployments[0][0].partition(".")[0], share) for target, share in pairs]


DOWN = '[[incident]]\nat = "target"\nfault = { name = "outage", status = 500 }\n[[ask]]\n'
LIMITED = '[[incident]]\nat = "target"\nfault = "rate-limit"\n[[ask]]\n'
LONG = '[[incident]]\nat = "target"\nfault = "context-length-exceeded"\n[[ask]]\n'
MODERATED = '[[incident]]\nat = "target"\nfault = "moderated"\n[[ask]]\n'
SILENT = '[[incident]]\nat = "target"\nfault = "silence"\n[[ask]]\n'
STALLED = SILENT.replace('"silence"', '{ name = "stall", after = 3 }')
WORDLESS = SILENT.replace('"silence"', '{ name = "stall", after = 0 }')
TWICE_AS_SLOW = (
    '[[incident]]\nat = "target"\nfault = { name = "latency-spike", seconds = 1 }\n'
    "[[ask]]\ntimes = 40\nevery = 5\n"
)
BILL = "[bills]\ninput = 1000\noutput = 100\n[[ask]]\n"
PAYING = '[[ask]]\ntimes = 8\noptions = { metadata = { tags = ["paid"] } }\n'
SESSION = '[[ask]]\ntimes = 12\nevery = 1\noptions = { metadata = { session_id = "one" } }\n'
OVERLAPPING = "[[ask]]\ntimes = 9\nevery = 0.2\n"
UNKNOWN = "LiteLLM 1.106 does not know the key; it is documented for later releases"
CALM = "[[ask]]\ntimes = 4\n"
BURST = "[[ask]]\ntogether = 9\n"
MINUTE = "[[ask]]\ntimes = 9\nevery = 1\n"
ONCE_LIMITED = (
    '[[incident]]\nat = "target"\nfault = "rate-limit"\nwhen = { first = 1 }\n'
    "[[ask]]\n[[ask]]\nat = 20\ntimes = 2\n"
)
THREE_BAD = (
    '[[incident]]\nat = "target"\nfault = "rate-limit"\nwhen = { first = 3 }\n[[ask]]\ntimes = 6\n'
)
THREE_500 = THREE_BAD.replace('"rate-limit"', '{ name = "outage", status = 500 }')
REPEAT = '[[ask]]\nquestion = "A"\n[[ask]]\nquestion = "A"\nat = 30\n'
AND_LATER = f'{REPEAT}[[ask]]\nquestion = "A"\nat = 95\n'
SPEND = '[bills]\ninput = "= bill_input"\noutput = "= bill_output"\n[[ask]]\ntimes = 6\nevery = 2\n'

PRICE = "input_cost_per_token: 0.00002, output_cost_per_token: 0.00005"
CACHE = "cache: true"


EDITS = [
    # -- fallbacks
    Edit(
        "router_settings.fallbacks",
        one() + router("num_retries: 0", "fallbacks: [{a: [b, c]}]"),
        one() + router("num_retries: 0", "fallbacks: [{a: [c, b]}]"),
        "fallback.order", chain, ([["a", "b", "c"]], [["a", "c", "b"]]),
        DOWN, ("one two", "one three"),
    ),
    Edit(
        "router_settings.fallbacks",
        one() + router("num_retries: 0", "fallbacks: [{a: [b]}]"),
        one() + router("num_retries: 0"),
        "fallback.answers", chain, ([["a", "b"]], []),
        DOWN, ("one two", "one"),
    ),
    Edit(
        "router_settings.fallbacks",
        one() + router("num_retries: 0", "fallbacks: [{a: [b]}]"),
        one() + router("num_retries: 0", "fallbacks: [{b: [a]}]"),
        "fallback.disabled", chain, ([["a", "b"]], []),
        DOWN, ("one two", "one"),
    ),
    Edit(
        "litellm_settings.fallbacks",
        one() + litellm("num_retries: 0", "fallbacks: [{a: [b]}]"),
        one() + litellm("num_retries: 0", "fallbacks: [{a: [c]}]"),
        "fallback.order", chain, ([["a", "b"]], [["a", "c"]]),
        DOWN, ("one two", "one three"),
    ),
    Edit(
        "router_settings.default_fallbacks",
        one() + router("num_retries: 0", "default_fallbacks: [b]"),
        one() + router("num_retries: 0", "default_fallbacks: [c]"),
        "fallback.order", chain, ([["a", "b"]], [["a", "c"]]),
        DOWN, ("one two", "one three"),
    ),
    Edit(
        "litellm_settings.default_fallbacks",
        one() + litellm("num_retries: 0", "default_fallbacks: [b]"),
        one() + litellm("num_retries: 0", "default_fallbacks: [c]"),
        "fallback.order", chain, ([["a", "b"]], [["a", "c"]]),
        DOWN, ("one two", "one three"),
    ),
    Edit(
        "router_settings.context_window_fallbacks",
        one() + router("num_retries: 0", "context_window_fallbacks: [{a: [b]}]"),
        one() + router("num_retries: 0", "context_window_fallbacks: [{a: [c]}]"),
        "fallback.answers", chain, ([["a", "b"]], [["a", "c"]]),
        LONG, ("one two", "one three"),
    ),
    Edit(
        "litellm_settings.context_window_fallbacks",
        one() + litellm("num_retries: 0", "context_window_fallbacks: [{a: [b]}]"),
        one() + litellm("num_retries: 0", "context_window_fallbacks: [{b: [a]}]"),
        "fallback.answers", chain, ([["a", "b"]], []),
        LONG, ("one two", "one"),
    ),
    Edit(
        "router_settings.content_policy_fallbacks",
        one() + router("num_retries: 0", "content_policy_fallbacks: [{a: [b]}]"),
        one() + router("num_retries: 0"),
        "fallback.answers", chain, ([["a", "b"]], []),
        MODERATED, ("one two", "one"),
    ),
    Edit(
        "litellm_settings.content_policy_fallbacks",
        one() + litellm("num_retries: 0", "content_policy_fallbacks: [{a: [b]}]"),
        one() + litellm("num_retries: 0", "content_policy_fallbacks: [{a: [c]}]"),
        "fallback.answers", chain, ([["a", "b"]], [["a", "c"]]),
        MODERATED, ("one two", "one three"),
    ),
    Edit(
        "router_settings.max_fallbacks",
        one() + router("num_retries: 0", "fallbacks: [{a: [b, c]}]", "max_fallbacks: 1"),
        one() + router("num_retries: 0", "fallbacks: [{a: [b, c]}]", "max_fallbacks: 2"),
        "fallback.elsewhere", chain, ([["a", "b"]], []),
        DOWN.replace('"target"', '["target", "next"]'), ("one two three", "one two three"),
        why="LiteLLM 1.106 counts how deep fallbacks lead to others, not how many there are",
    ),
    Edit(
        "router_settings.enable_weighted_failover",
        heavy() + router("num_retries: 0", "enable_weighted_failover: true"),
        heavy() + router("num_retries: 0", "enable_weighted_failover: false"),
        "fallback.once", hosts, ([["one", "two"]], []),
        DOWN, ("one two", "one"),
    ),
    Edit(
        "router_settings.model_group_alias",
        one() + router("num_retries: 1", "model_group_alias: {z: a}"),
        one() + router("num_retries: 1", "model_group_alias: {z: b}"),
        "retry.bounded", lambda p: p.contract.target.name, (["a"], ["b"]),
        CALM.replace("4", "1"), ("one", "two"), group="z",
    ),
    Edit(
        "entry.model_name",
        one().replace("model_name: a", "model_name: a*") + router("num_retries: 0"),
        one().replace("model_name: a", "model_name: ab*") + router("num_retries: 0"),
        "errors.own", lambda p: p.group, (["aany"], []),
        DOWN, ("one", ""), group="aany",
    ),
    # -- order, weights, picks
    Edit(
        "litellm_params.order",
        pair("order: 1", "order: 2") + router("num_retries: 0"),
        pair("order: 2", "order: 1") + router("num_retries: 0"),
        "fallback.order", hosts, ([["one", "two"]], [["two", "one"]]),
        DOWN, ("one two", "two one"),
    ),
    Edit(
        "litellm_params.weight",
        pair("weight: 9999", "weight: 1"),
        pair("weight: 1", "weight: 9999"),
        "balance.split", shares,
        ([[("one", 9999.0), ("two", 1.0)]], [[("one", 1.0), ("two", 9999.0)]]),
        CALM, ("one | one | one | one", "two | two | two | two"),
    ),
    Edit(
        "litellm_params.rpm",
        pair("rpm: 9999", "rpm: 1"),
        pair("rpm: 1", "rpm: 9999"),
        "balance.split", shares,
        ([[("one", 9999.0), ("two", 1.0)]], [[("one", 1.0), ("two", 9999.0)]]),
        CALM, ("one | one | one | one", "two | two | two | two"),
    ),
    Edit(
        "litellm_params.tpm",
        pair("tpm: 9999", "tpm: 1"),
        pair("tpm: 1", "tpm: 9999"),
        "balance.split", shares,
        ([[("one", 9999.0), ("two", 1.0)]], [[("one", 1.0), ("two", 9999.0)]]),
        CALM, ("one | one | one | one", "two | two | two | two"),
    ),
    Edit(
        "router_settings.routing_strategy",
        heavy() + router("routing_strategy: least-busy"),
        heavy() + router("routing_strategy: simple-shuffle"),
        "balance.least-busy", hosts, ([["one", "two"]], []),
        OVERLAPPING, ({"one", "two"}, {"one"}),
    ),
    Edit(
        "router_settings.routing_strategy_args",
        pair() + router("routing_strategy: latency-based-routing"),
        pair() + router(
            "routing_strategy: latency-based-routing",
            "routing_strategy_args: {lowest_latency_buffer: 4}",
        ),
        "balance.fastest", hosts, ([["one", "two"]], []),
        TWICE_AS_SLOW, (frozenset({"two"}), frozenset({"one", "two"})),
    ),
    Edit(
        "router_settings.routing_groups",
        heavy() + router("routing_groups: [{group_name: g, models: [a], routing_strategy: least-busy}]"),
        heavy() + router("routing_groups: [{group_name: g, models: [b], routing_strategy: least-busy}]"),
        "balance.least-busy", hosts, ([["one", "two"]], []),
        OVERLAPPING, ({"one", "two"}, {"one"}),
    ),
    Edit(
        "routing_groups.routing_strategy",
        heavy() + router("routing_groups: [{group_name: g, models: [a], routing_strategy: least-busy}]"),
        heavy() + router("routing_groups: [{group_name: g, models: [a], routing_strategy: simple-shuffle}]"),
        "balance.least-busy", hosts, ([["one", "two"]], []),
        OVERLAPPING, ({"one", "two"}, {"one"}),
    ),
    Edit(
        "litellm_params.input_cost_per_token",
        pair("input_cost_per_token: 0.01", "input_cost_per_token: 0.5")
        + router("routing_strategy: cost-based-routing"),
        pair("input_cost_per_token: 0.5", "input_cost_per_token: 0.01")
        + router("routing_strategy: cost-based-routing"),
        "balance.cheapest", lambda p: [(host, float(price)) for host, price in shares(p)],
        ([[("one", 0.01), ("two", 0.5)]], [[("one", 0.5), ("two", 0.01)]]),
        CALM, ("one | one | one | one", "two | two | two | two"),
    ),
    Edit(
        "litellm_params.output_cost_per_token",
        one("output_cost_per_token: 0.01"),
        one(),
        "budget.ledger", lambda p: p.because.key[-1], (["output_cost_per_token"], []),
        BILL, (Decimal("1.0"), Decimal("0.0035")),
    ),
    Edit(
        "model_info.input_cost_per_token",
        one("", "input_cost_per_token: 0.01"),
        one(),
        "budget.ledger", lambda p: p.because.key[-2:], ([("model_info", "input_cost_per_token")], []),
        BILL, (Decimal("10.0"), Decimal("0.0035")),
    ),
    Edit(
        "model_info.output_cost_per_token",
        one("", "output_cost_per_token: 0.01"),
        one(),
        "budget.ledger", lambda p: p.because.key[-2:], ([("model_info", "output_cost_per_token")], []),
        BILL, (Decimal("1.0"), Decimal("0.0035")),
    ),
    Edit(
        "router_settings.enable_tag_filtering",
        pair("tags: [free]", "tags: [paid]") + router("enable_tag_filtering: true"),
        pair("tags: [free]", "tags: [paid]") + router("enable_tag_filtering: false"),
        "balance.tags", lambda p: p.options["metadata"]["tags"], ([["free"], ["paid"]], []),
        PAYING, ({"two"}, {"one", "two"}),
    ),
    Edit(
        "litellm_params.tags",
        pair("tags: [free]", "tags: [paid]") + router("enable_tag_filtering: true"),
        pair("tags: [paid]", "tags: [free]") + router("enable_tag_filtering: true"),
        "balance.tags", lambda p: p.options["metadata"]["tags"],
        ([["free"], ["paid"]], [["paid"], ["free"]]),
        PAYING, ({"two"}, {"one"}),
    ),
    Edit(
        "model_info.enable_tag_filtering",
        pair("tags: [free]", "tags: [paid]", "enable_tag_filtering: true"),
        pair("tags: [free]", "tags: [paid]", "enable_tag_filtering: false"),
        "balance.tags", lambda p: len(p.contract.by), ([2, 2], []),
        PAYING, ({"two"}, {"one", "two"}),
    ),
    Edit(
        "router_settings.optional_pre_call_checks",
        pair() + router("optional_pre_call_checks: [session_affinity]"),
        pair() + router("optional_pre_call_checks: [prompt_caching]"),
        "balance.sticky", of("idle"), ([3600.0], []),
        SESSION, ("1 host", "2 hosts"),
    ),
    # -- limits
    Edit(
        "litellm_params.max_parallel_requests",
        one("max_parallel_requests: 2") + router("num_retries: 0"),
        one("max_parallel_requests: 6") + router("num_retries: 0"),
        "balance.in-flight", place, ([("one", 2)], [("one", 6)]),
        BURST, (2, 6),
    ),
    Edit(
        "litellm_params.rpm",
        one("rpm: 2") + router("num_retries: 0"),
        one("rpm: 6") + router("num_retries: 0"),
        "balance.in-flight", place, ([("one", 2)], [("one", 6)]),
        BURST, (2, 6),
    ),
    Edit(
        "litellm_params.tpm",
        one("tpm: 400") + router("num_retries: 0"),
        one("tpm: 1000") + router("num_retries: 0"),
        "balance.in-flight", place, ([("one", 2)], [("one", 6)]),
        BURST, (2, 6),
    ),
    Edit(
        "router_settings.default_max_parallel_requests",
        one() + router("num_retries: 0", "default_max_parallel_requests: 2"),
        one() + router("num_retries: 0", "default_max_parallel_requests: 6"),
        "balance.in-flight", place, ([("one", 2)], [("one", 6)]),
        BURST, (2, 6),
    ),
    Edit(
        "litellm_params.rpm",
        one("rpm: 3") + router("num_retries: 0", "optional_pre_call_checks: [enforce_model_rate_limits]"),
        one("rpm: 5") + router("num_retries: 0", "optional_pre_call_checks: [enforce_model_rate_limits]"),
        "balance.rate", place, ([("one", 3)], [("one", 5)]),
        MINUTE, (3, 5),
    ),
    Edit(
        "litellm_params.tpm",
        one("tpm: 300") + router("num_retries: 0", "optional_pre_call_checks: [enforce_model_rate_limits]"),
        one("tpm: 600") + router("num_retries: 0", "optional_pre_call_checks: [enforce_model_rate_limits]"),
        "balance.rate", lambda p: (p.contract.limit, p.contract.unit),
        ([(300, "tokens")], [(600, "tokens")]),
        "[bills]\ninput = 80\noutput = 20\n" + MINUTE, (3, 6),
    ),
    Edit(
        "router_settings.optional_pre_call_checks",
        one("rpm: 3") + router("num_retries: 0", "optional_pre_call_checks: [enforce_model_rate_limits]"),
        one("rpm: 3") + router("num_retries: 0"),
        "balance.rate", place, ([("one", 3)], []),
        MINUTE, (3, 9),
    ),
    Edit(
        "model_info.max_input_tokens",
        one("", "max_input_tokens: 40") + router("enable_pre_call_checks: true", "num_retries: 0"),
        one("", "max_input_tokens: 4000") + router("enable_pre_call_checks: true", "num_retries: 0"),
        "fallback.fits", place, ([("one", 40)], [("one", 4000)]),
        "[[ask]]\ntokens = 400\n", ("", "one"),
    ),
    Edit(
        "router_settings.enable_pre_call_checks",
        one("", "max_input_tokens: 40") + router("enable_pre_call_checks: true", "num_retries: 0"),
        one("", "max_input_tokens: 40") + router("enable_pre_call_checks: false", "num_retries: 0"),
        "fallback.fits", place, ([("one", 40)], []),
        "[[ask]]\ntokens = 400\n", ("", "one"),
    ),
    # -- retries
    Edit(
        "router_settings.num_retries",
        one() + router("num_retries: 1"),
        one() + router("num_retries: 3"),
        "retry.bounded", of("retries"), ([1], [3]),
        DOWN, ("one one", "one one one one"),
    ),
    Edit(
        "litellm_settings.num_retries",
        one() + litellm("num_retries: 1"),
        one() + litellm("num_retries: 3"),
        "retry.tried", of("retries"), ([1], [3]),
        DOWN, ("one one", "one one one one"),
    ),
    Edit(
        "litellm_params.num_retries",
        one("num_retries: 1") + router("num_retries: 0"),
        one("num_retries: 3") + router("num_retries: 0"),
        "retry.bounded", of("retries"), ([1], [3]),
        DOWN, ("one one", "one one one one"),
    ),
    Edit(
        "retry_policy.RateLimitErrorRetries",
        one() + router("num_retries: 0", "retry_policy: {RateLimitErrorRetries: 1}"),
        one() + router("num_retries: 0", "retry_policy: {RateLimitErrorRetries: 3}"),
        "retry.class", of("kinds"), ([(("rate_limit", 1),)], [(("rate_limit", 3),)]),
        LIMITED, ("one one", "one one one one"),
    ),
    *(
        Edit(
            f"retry_policy.{name}ErrorRetries",
            one(more) + router("num_retries: 0", "disable_cooldowns: true", f"retry_policy: {{{name}ErrorRetries: 1}}"),
            one(more) + router("num_retries: 0", "disable_cooldowns: true", f"retry_policy: {{{name}ErrorRetries: 6}}"),
            "retry.class", of("kinds"), ([((kind, 1),)], [((kind, 6),)]),
            DOWN.replace('{ name = "outage", status = 500 }', fault), (2, 7),
        )
        for name, kind, fault, more in (
            ("BadRequest", "bad_request", '"invalid-request"', ""),
            ("Authentication", "authentication", '"unauthorized"', ""),
            ("NotFound", "not_found", '"model-gone"', ""),
            ("Timeout", "timeout", '"silence"', "timeout: 2"),
            ("ContentPolicyViolation", "content_policy", '"moderated"', ""),
            ("InternalServer", "internal", '{ name = "outage", status = 500 }', ""),
            ("ServiceUnavailable", "unavailable", '{ name = "outage", status = 503 }', ""),
        )
    ),
    Edit(
        "retry_policy.DefaultRetries",
        one() + router("num_retries: 0", "retry_policy: {DefaultRetries: 1}"),
        one() + router("num_retries: 0", "retry_policy: {DefaultRetries: 6}"),
        "retry.class", lambda p: {times for _, times in p.contract.kinds}, ([{1}], [{6}]),
        DOWN, (2, 7),
    ),
    Edit(
        "router_settings.model_group_retry_policy",
        one() + router("num_retries: 0", "model_group_retry_policy: {a: {RateLimitErrorRetries: 1}}"),
        one() + router("num_retries: 0", "model_group_retry_policy: {a: {RateLimitErrorRetries: 3}}"),
        "retry.class", of("kinds"), ([(("rate_limit", 1),)], [(("rate_limit", 3),)]),
        LIMITED, ("one one", "one one one one"), kind="policy",
    ),
    # -- cooldowns
    Edit(
        "router_settings.cooldown_time",
        heavy() + router("num_retries: 0", "cooldown_time: 60"),
        heavy() + router("num_retries: 0", "cooldown_time: 6"),
        "health.cooldown", of("seconds"), ([60.0, 60.0], [6.0, 6.0]),
        ONCE_LIMITED, ("one | two | two", "one | one | one"),
    ),
    Edit(
        "litellm_settings.cooldown_time",
        heavy() + litellm("num_retries: 0", "cooldown_time: 60"),
        heavy() + litellm("num_retries: 0", "cooldown_time: 6"),
        "health.cooldown", of("seconds"), ([60.0, 60.0], [6.0, 6.0]),
        ONCE_LIMITED, ("one | one | one", "one | one | one"),
        why="LiteLLM 1.106 reads it in router_settings only",
    ),
    Edit(
        "litellm_params.cooldown_time",
        heavy("", "cooldown_time: 60") + router("num_retries: 0"),
        heavy("", "cooldown_time: 6") + router("num_retries: 0"),
        "health.cooldown", of("seconds"), ([60.0], [6.0]),
        ONCE_LIMITED, ("one | two | two", "one | one | one"),
    ),
    Edit(
        "model_info.cooldown_time",
        heavy("cooldown_time: 60") + router("num_retries: 0"),
        heavy("cooldown_time: 6") + router("num_retries: 0"),
        "health.cooldown", of("seconds"), ([60.0], [6.0]),
        ONCE_LIMITED, ("one | two | two", "one | one | one"),
    ),
    Edit(
        "router_settings.allowed_fails",
        heavy() + router("num_retries: 0", "cooldown_time: 60", "allowed_fails: 1"),
        heavy() + router("num_retries: 0", "cooldown_time: 60", "allowed_fails: 3"),
        "health.rotation", of("failures"), ([2, 2], [4, 4]),
        THREE_500, ("one | one | two | two | two | two", "one | one | one | one | one | one"),
    ),
    Edit(
        "litellm_settings.allowed_fails",
        heavy() + litellm("num_retries: 0", "cooldown_time: 60", "allowed_fails: 1"),
        heavy() + litellm("num_retries: 0", "cooldown_time: 60", "allowed_fails: 3"),
        "health.cooldown", of("failures"), ([2, 2], [4, 4]),
        THREE_500, ("one | one | one | one | one | one", "one | one | one | one | one | one"),
        why="LiteLLM 1.106 takes the number of its module for none at all",
    ),
    Edit(
        "model_info.allowed_fails",
        heavy("allowed_fails: 1, cooldown_time: 60") + router("num_retries: 0"),
        heavy("allowed_fails: 3, cooldown_time: 60") + router("num_retries: 0"),
        "health.rotation", of("failures"), ([2], [4]),
        THREE_500, ("one | one | two | two | two | two", "one | one | one | one | one | one"),
    ),
    Edit(
        "allowed_fails_policy.InternalServerErrorAllowedFails",
        heavy() + router("num_retries: 0", "allowed_fails_policy: {InternalServerErrorAllowedFails: 1}"),
        heavy() + router("num_retries: 0", "allowed_fails_policy: {InternalServerErrorAllowedFails: 3}"),
        "health.rotation", of("failures"), ([2, 2], [4, 4]),
        THREE_500, ("one | one | two | two | two | two", "one | one | one | one | one | one"),
    ),
    Edit(
        "allowed_fails_policy.RateLimitErrorAllowedFails",
        heavy() + router("num_retries: 0", "cooldown_time: 60", "allowed_fails_policy: {RateLimitErrorAllowedFails: 1}"),
        heavy() + router("num_retries: 0", "cooldown_time: 60", "allowed_fails_policy: {RateLimitErrorAllowedFails: 3}"),
        "health.cooldown", of("failures"), ([2, 2], [4, 4]),
        THREE_BAD, ("one | one | two | two | two | two", "one | one | one | one | one | one"),
    ),
    Edit(
        "model_info.allowed_fails_policy",
        heavy("allowed_fails_policy: {RateLimitErrorAllowedFails: 1}, cooldown_time: 60")
        + router("num_retries: 0"),
        heavy("allowed_fails_policy: {RateLimitErrorAllowedFails: 3}, cooldown_time: 60")
        + router("num_retries: 0"),
        "health.cooldown", of("failures"), ([2], [4]),
        THREE_BAD, ("one | one | two | two | two | two", "one | one | one | one | one | one"),
    ),
    Edit(
        "router_settings.disable_cooldowns",
        heavy() + router("num_retries: 0", "disable_cooldowns: true", "cooldown_time: 60"),
        heavy() + router("num_retries: 0", "disable_cooldowns: false", "cooldown_time: 60"),
        "health.never", hosts, ([["one"]], []),
        ONCE_LIMITED, ("one | one | one", "one | two | two"),
    ),
    # -- timeouts
    *(
        Edit(
            f"{section}.{name}",
            text % f"{name}: 60", text % f"{name}: 6",
            "stream.stall", of("seconds"), ([60.0], [6.0]),
            asks, attempts, entry,
            why=UNKNOWN if name == "stream_idle_timeout" else "",
        )
        for section, name, text, asks, attempts, entry in (
            ("router_settings", "timeout", one() + "router_settings: {num_retries: 0, %s}\n", SILENT, (60.0, 6.0), "chat-async"),
            ("litellm_params", "timeout", one("%s") + "router_settings: {num_retries: 0}\n", SILENT, (60.0, 6.0), "chat-async"),
            ("router_settings", "stream_timeout", one() + "router_settings: {num_retries: 0, %s}\n", SILENT, (60.0, 6.0), "chat-async-stream"),
            ("litellm_params", "stream_timeout", one("%s") + "router_settings: {num_retries: 0}\n", SILENT, (60.0, 6.0), "chat-async-stream"),
            ("litellm_settings", "request_timeout", one() + "litellm_settings: {num_retries: 0, %s}\n", SILENT, (60.0, 6.0), "chat-async"),
            ("router_settings", "stream_idle_timeout", one() + "router_settings: {num_retries: 0, %s}\n", STALLED, (6000.0, 6000.0), "chat-async-stream"),
            ("litellm_params", "stream_idle_timeout", one("%s") + "router_settings: {num_retries: 0}\n", STALLED, (6000.0, 6000.0), "chat-async-stream"),
        )
    ),
    *(
        Edit(
            f"{section}.ttft_timeout",
            text % "ttft_timeout: 60", text % "ttft_timeout: 6",
            "latency.first-token", of("seconds"), ([60.0], [6.0]),
            WORDLESS, (6000.0, 6000.0), "chat-async-stream", why=UNKNOWN,
        )
        for section, text in (
            ("router_settings", one() + "router_settings: {num_retries: 0, %s}\n"),
            ("litellm_params", one("%s") + "router_settings: {num_retries: 0}\n"),
        )
    ),
    Edit(
        "router_settings.timeout",
        one() + router("num_retries: 0", "timeout: 60"),
        one() + router("num_retries: 0", "timeout: 6"),
        "latency.attempt", of("seconds"), ([60.0], [6.0]),
        SILENT, (60.0, 6.0),
    ),
    # -- money
    Edit(
        "router_settings.provider_budget_config",
        one(PRICE) + router("num_retries: 0", "provider_budget_config: {openai: {budget_limit: 2, time_period: 1d}}"),
        one(PRICE) + router("num_retries: 0", "provider_budget_config: {openai: {budget_limit: 6, time_period: 1h}}"),
        "budget.cutoff", lambda p: (int(p.contract.limit), p.contract.window),
        ([(2, 86400.0)], [(6, 3600.0)]),
        '[bills]\ninput = 20000\noutput = 8000\n[[ask]]\ntimes = 6\nevery = 2\n', (3, 6),
    ),
    Edit(
        "litellm_params.max_budget",
        one(f"max_budget: 2, budget_duration: 1d, {PRICE}") + router("num_retries: 0"),
        one(f"max_budget: 6, budget_duration: 1d, {PRICE}") + router("num_retries: 0"),
        "budget.cutoff", lambda p: int(p.contract.limit), ([2], [6]),
        '[bills]\ninput = 20000\noutput = 8000\n[[ask]]\ntimes = 6\nevery = 2\n', (3, 6),
    ),
    Edit(
        "litellm_params.budget_duration",
        one(f"max_budget: 2, budget_duration: 30m, {PRICE}") + router("num_retries: 0"),
        one(f"max_budget: 2, budget_duration: 1h, {PRICE}") + router("num_retries: 0"),
        "budget.window", of("window"), ([1800.0], [3600.0]),
        '[bills]\ninput = 20000\noutput = 8000\n[[ask]]\ntimes = 4\nevery = 2\n[[ask]]\nat = 2400\n', (4, 3),
    ),
    # -- caches
    Edit(
        "litellm_settings.cache",
        one() + litellm("cache: true", "cache_params: {type: local}"),
        one() + litellm("cache: false", "cache_params: {type: local}"),
        "cache.hit", of("ttl"), ([None], []),
        REPEAT, ("one | ", "one | one"),
    ),
    *(
        Edit(
            f"cache_params.{name}",
            one() + litellm("cache: true", f"cache_params: {{type: local, {name}: 60}}"),
            one() + litellm("cache: true", f"cache_params: {{type: local, {name}: 6}}"),
            "cache.expires", of("ttl"), ([60.0], [6.0]),
            AND_LATER, ("one |  | one", "one | one | one"),
        )
        for name in ("ttl", "default_in_memory_ttl")
    ),
    Edit(
        "cache_params.type",
        one() + litellm("cache: true", "cache_params: {type: local}"),
        one() + litellm("cache: true", "cache_params: {type: redis}"),
        "cache.hit", of("ttl"), ([None], []),
        why="what is kept in Redis is not simulated, so a router that asks it is not played",
    ),
    Edit(
        "cache_params.mode",
        one() + litellm("cache: true", "cache_params: {type: local, mode: default_off}"),
        one() + litellm("cache: true", "cache_params: {type: local}"),
        "cache.expires", of("ttl"), ([0.0], []),
        REPEAT, ("one | one", "one | "),
    ),
    Edit(
        "cache_params.supported_call_types",
        one() + litellm("cache: true", "cache_params: {type: local, supported_call_types: [embedding]}"),
        one() + litellm("cache: true", "cache_params: {type: local, supported_call_types: [completion, acompletion]}"),
        "cache.hit", lambda p: p.entries, ([], [("chat-sync", "chat-async")]),
        REPEAT, ("one | one", "one | "),
    ),
    Edit(
        "router_settings.cache_responses",
        one() + router("cache_responses: true"),
        one() + router("cache_responses: false"),
        "cache.hit", of("ttl"), ([None], []),
        REPEAT, ("one | ", "one | one"),
    ),
]  # fmt: skip
