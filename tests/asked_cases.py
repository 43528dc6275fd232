# Histories for the contracts about what a caller asked for, who leaves rotation, how many attempts a
# call may make, and what errors say.

from __future__ import annotations

from llmroute_sim.history import Failure, History
from pytest_llmroute.contracts import Contract, errors, fallback, health, retry

from .stories import CHAIN, A, B, C, Step, Told, call, story

Case = tuple[Contract, str, History]

NO_FALLBACKS = {"disable_fallbacks": True}
NAMED = {"fallbacks": ["spare"]}

disabled = fallback.Disabled(CHAIN)
chosen = fallback.Chosen(A, (("b", (B,)), ("spare", (C,)), ("both", (B, C))), "chat")
capable = fallback.Capable(CHAIN)
dimension = fallback.Dimension()
named = fallback.Named(CHAIN)
fits = fallback.Fits(A, 1000)


def vectors(place: str, length: int, **about: object) -> Told:
    return call("answered", (place, "200"), dimension=length, **about)


LOST = call("failed", ("A", "503"))

ASKED: dict[str, Case] = {
    # -- fallback.disabled
    "who disables fallbacks stays with the first": (
        disabled, "kept", story(call("failed", ("A", "503"), ("A", "503"), options=NO_FALLBACKS)),
    ),
    "who disables fallbacks is taken nowhere else": (
        disabled, "broken", story(call("answered", ("A", "503"), ("B", "200"), options=NO_FALLBACKS)),
    ),
    "who disables nothing may be taken elsewhere": (
        disabled, "nothing", story(call("answered", ("A", "503"), ("B", "200"))),
    ),
    "fallbacks that are not disabled are not": (
        disabled, "nothing",
        story(call("answered", ("A", "503"), ("B", "200"), options={"disable_fallbacks": False})),
    ),
    "without a failure nothing was to be disabled": (
        disabled, "nothing", story(call("answered", ("A", "200"), options=NO_FALLBACKS)),
    ),
    "whoever is not of the chain is no fallback of it": (
        disabled, "nothing", story(call("answered", ("Z", "503"), ("B", "200"), options=NO_FALLBACKS)),
    ),
    "a call that disables fallbacks is owed no answer by them": (
        fallback.Answers(CHAIN), "nothing", story(call("failed", ("A", "503"), options=NO_FALLBACKS)),
    ),
    # -- fallback.chosen
    "who names a fallback is answered by it": (
        chosen, "kept", story(call("answered", ("A", "503"), ("A", "503"), ("C", "200"), options=NAMED)),
    ),
    "who names a fallback is taken to nobody else": (
        chosen, "broken", story(call("answered", ("A", "503"), ("B", "200"), options=NAMED)),
    ),
    "who names a fallback is owed its answer": (
        chosen, "broken", story(call("failed", ("A", "503"), options=NAMED)),
    ),
    "nobody else is asked after all that were named": (
        chosen, "broken", story(call("failed", ("A", "503"), ("C", "500"), ("B", "500"), options=NAMED)),
    ),
    "where all failed that were named nobody owes an answer": (
        chosen, "kept", story(call("failed", ("A", "503"), ("C", "500"), options=NAMED)),
    ),
    "fallbacks are asked in the order of the request": (
        chosen, "kept",
        story(call("answered", ("A", "503"), ("C", "429"), ("B", "200"), options={"fallbacks": ["spare", "b"]})),
    ),
    "fallbacks in another order are broken": (
        chosen, "broken",
        story(call("answered", ("A", "503"), ("B", "200"), options={"fallbacks": ["spare", "b"]})),
    ),
    "a name may mean several": (
        chosen, "kept", story(call("answered", ("A", "503"), ("C", "200"), options={"fallbacks": "both"})),
    ),
    "a list for each group counts for the group that was asked for": (
        chosen, "kept",
        story(call("answered", ("A", "503"), ("C", "200"),
                   options={"fallbacks": [{"other": ["b"]}, {"chat": ["spare"]}]})),
    ),
    "a list for another group is nobody's": (
        chosen, "nothing",
        story(call("answered", ("A", "503"), ("C", "200"), options={"fallbacks": [{"other": ["b"]}]})),
    ),
    "who names nobody asked for nobody": (
        chosen, "nothing", story(call("answered", ("A", "503"), ("B", "200"))),
    ),
    "a name that nobody knows says nothing": (
        chosen, "nothing",
        story(call("answered", ("A", "503"), ("B", "200"), options={"fallbacks": ["spare", "who"]})),
    ),
    "who asks for another group names fallbacks for that": (
        chosen, "nothing", story(call("answered", ("A", "503"), ("B", "200"), group="other", options=NAMED)),
    ),
    "without a failure nobody else was to be asked": (
        chosen, "nothing", story(call("answered", ("A", "200"), options=NAMED)),
    ),
    "a list for long prompts is for those": (
        chosen, "kept",
        story(call("answered", Step("A", "400", error="context_length"), ("C", "200"),
                   options={"context_window_fallbacks": [{"chat": ["spare"]}]})),
    ),
    "a list for refused prompts is for those": (
        chosen, "broken",
        story(call("answered", Step("A", "400", error="moderation"), ("B", "200"),
                   options={"content_policy_fallbacks": [{"chat": ["spare"]}]})),
    ),
    "a list for long prompts says nothing of outages": (
        chosen, "nothing",
        story(call("answered", ("A", "503"), ("B", "200"),
                   options={"context_window_fallbacks": [{"chat": ["spare"]}]})),
    ),
    "a list of fallbacks says nothing of long prompts": (
        chosen, "nothing",
        story(call("answered", Step("A", "400", error="context_length"), ("B", "200"), options=NAMED)),
    ),
    "failures of two kinds belong to two lists": (
        chosen, "nothing",
        story(call("answered", Step("A", "400", error="context_length"), ("C", "503"), ("B", "200"),
                   options={**NAMED, "context_window_fallbacks": [{"chat": ["spare"]}]})),
    ),
    "without the name of a group it is about who begins at the target": (
        fallback.Chosen(A, (("spare", (C,)),)), "broken",
        story(call("answered", ("A", "503"), ("B", "200"), group="any", options=NAMED)),
    ),
    "and about nobody who begins elsewhere": (
        fallback.Chosen(A, (("spare", (C,)),)), "nothing",
        story(call("answered", ("B", "503"), ("A", "200"), group="any", options=NAMED)),
    ),
    "who is out of rotation may be passed over": (
        chosen, "kept",
        story(call("failed", ("C", "503"), group="c"),
              call("answered", ("A", "503"), ("B", "200"), options={"fallbacks": ["spare", "b"]})),
    ),
    "who is out of rotation may be asked all the same": (
        chosen, "kept",
        story(call("failed", ("C", "503"), group="c"),
              call("answered", ("A", "503"), ("C", "200"), options={"fallbacks": ["spare", "b"]})),
    ),
    "a named fallback that refuses connections failed too": (
        chosen, "broken",
        story(call("failed", ("A", "503"), ("C", "refused"), options={"fallbacks": ["spare", "b"]})),
    ),
    "an empty list names nobody": (
        chosen, "nothing", story(call("answered", ("A", "503"), ("B", "200"), options={"fallbacks": []})),
    ),
    "a plain refusal of the request belongs to no list": (
        chosen, "nothing",
        story(call("failed", Step("A", "400", error="invalid_request"), options=NAMED)),
    ),
    # -- fallback.capable
    "tools that are asked of everybody are kept": (
        capable, "kept",
        story(
            call("answered", Step("A", "503", features=("tools",)), Step("B", "200", features=("tools",)),
                 features=("tools",))
        ),
    ),
    "a fallback without the tools is broken": (
        capable, "broken",
        story(call("answered", Step("A", "503", features=("tools",)), ("B", "200"), features=("tools",))),
    ),
    "any JSON is not JSON of a schema": (
        capable, "broken",
        story(call("answered", Step("A", "200", features=("json",)), features=("schema",))),
    ),
    "JSON of a schema is JSON": (
        capable, "nothing",
        story(call("answered", Step("A", "200", features=("schema",)), features=("json",))),
    ),
    "a tool that returns JSON is as good": (
        capable, "nothing",
        story(
            call("answered", Step("A", "200", features=("tools",), operation="messages"),
                 features=("schema",))
        ),
    ),
    "where a format has no words for JSON, it may be asked for in words": (
        capable, "nothing",
        story(call("answered", Step("A", "200", operation="messages"), features=("json",))),
    ),
    "thinking shows in no chat": (
        capable, "nothing", story(call("answered", ("A", "200"), features=("thinking",))),
    ),
    "thinking that was dropped shows in messages": (
        capable, "broken",
        story(call("answered", Step("A", "200", operation="messages"), features=("thinking",))),
    ),
    "who was not asked need not be able to": (
        capable, "nothing", story(call("failed", features=("tools",))),
    ),
    "a refused connection does not say what it would have carried": (
        capable, "nothing", story(call("failed", ("A", "refused"), features=("tools",))),
    ),
    "words alone ask for nothing besides": (capable, "nothing", story(call("answered", ("A", "200")))),
    # -- fallback.dimension
    "vectors of one length are kept": (
        dimension, "kept", story(vectors("A", 512), LOST, vectors("B", 512)),
    ),
    "vectors of two lengths are broken": (
        dimension, "broken", story(vectors("A", 512), LOST, vectors("B", 256)),
    ),
    "one deployment alone proves nothing": (
        dimension, "nothing", story(vectors("A", 512), LOST, vectors("A", 512)),
    ),
    "one deployment gives the lengths that it is asked for": (
        dimension, "nothing", story(vectors("A", 512), vectors("A", 256), LOST, vectors("B", 256)),
    ),
    "two groups may differ": (
        dimension, "nothing", story(vectors("A", 512), LOST, vectors("B", 256, group="other")),
    ),
    # -- fallback.named
    "an answer that names its model is kept": (
        named, "kept", story(call("answered", ("A", "503"), ("B", "200"), model="vendor/Model-B")),
    ),
    "an answer may carry the name that was asked for": (
        named, "kept", story(call("answered", ("A", "503"), ("B", "200"), model="chat")),
    ),
    "an answer with the name of who failed is broken": (
        named, "broken", story(call("answered", ("A", "503"), ("B", "200"), model="model-a")),
    ),
    "an answer with the name of who was never asked is broken": (
        named, "broken", story(call("answered", ("A", "503"), ("B", "200"), model="model-c")),
    ),
    "a name that is nobody's says nothing": (
        named, "nothing", story(call("answered", ("A", "503"), ("B", "200"), model="model-b-0613")),
    ),
    "no name says nothing": (named, "nothing", story(call("answered", ("A", "503"), ("B", "200")))),
    "the first of the chain may be called anything": (
        named, "nothing", story(call("answered", ("A", "200"), model="model-b")),
    ),
    "an answer of two voices has no name": (
        named, "nothing",
        story(call("answered", ("A", "200-cut"), ("B", "200"), model="model-a", words=("a1", "a2"))),
    ),
    # -- fallback.fits
    "a long prompt that goes where it fits is kept": (
        fits, "kept", story(call("answered", Step("B", "200", tokens=1300))),
    ),
    "a long prompt that is sent all the same is broken": (
        fits, "broken", story(call("answered", ("A", "400"), Step("B", "200", tokens=1300))),
    ),
    "a long prompt that was even answered is broken": (
        fits, "broken", story(call("answered", Step("A", "200", tokens=1300))),
    ),
    "a prompt that nobody counted may be short": (fits, "nothing", story(call("failed", ("A", "400")))),
    "a prompt near the limit may be counted otherwise": (
        fits, "nothing", story(call("answered", Step("A", "200", tokens=1150))),
    ),
}  # fmt: skip

total = retry.Total((A, B), 1)
classed = retry.Classed(A, (("timeout", 0), ("internal", 1), ("rate_limit", 1)))

ALLOWANCES: dict[str, Case] = {
    # -- retry.total
    "as many attempts as groups and retries give are kept": (
        total, "kept", story(call("failed", *[("A", "500")] * 2, *[("B", "500")] * 2)),
    ),
    "one attempt more is broken, wherever it goes": (
        total, "broken", story(call("failed", *[("A", "500")] * 2, *[("B", "500")] * 2, ("Z", "500"))),
    ),
    "without a failure there is nothing to count": (total, "nothing", story(call("answered", ("A", "200")))),
    "a failure elsewhere is not counted": (total, "nothing", story(call("failed", *[("Z", "500")] * 9))),
    "a call that wants no retries makes one attempt at each": (
        total, "broken",
        story(call("failed", ("A", "500"), ("A", "500"), ("B", "500"), options={"num_retries": 0})),
    ),
    "a call that wants more retries may have them": (
        total, "kept", story(call("failed", *[("A", "500")] * 6, options={"num_retries": 2})),
    ),
    "a call that wants more retries may have them at one target too": (
        retry.Bounded(A, 0), "kept", story(call("failed", *[("A", "500")] * 3, options={"num_retries": 2})),
    ),
    "a call that wants none is not tried again": (
        retry.Tried(A, 2), "nothing", story(call("failed", ("A", "500"), options={"num_retries": 0})),
    ),
    # -- retry.class
    "as many retries as the kind has are kept": (
        classed, "kept", story(call("failed", ("A", "500"), ("A", "500"))),
    ),
    "more retries than the kind has are broken": (
        classed, "broken", story(call("failed", ("A", "408"), ("A", "408"))),
    ),
    "fewer retries than the kind has are broken": (classed, "broken", story(call("failed", ("A", "500")))),
    "moving on too early is broken": (
        classed, "broken", story(call("answered", ("A", "500"), ("B", "200"))),
    ),
    "a retry that is answered is enough": (
        classed, "kept", story(call("answered", ("A", "500"), ("A", "200"))),
    ),
    "silence is a timeout": (
        classed, "broken", story(call("failed", ("A", "silence"), ("A", "silence"))),
    ),
    "who was never connected may have failed otherwise": (
        classed, "nothing",
        story(call("failed", *[Step("A", "silence", operation="none")] * 3)),
    ),
    "a limit need not be tried again": (classed, "nothing", story(call("failed", ("A", "429")))),
    "failures of two kinds may be counted either way": (
        classed, "nothing", story(call("failed", ("A", "500"), ("A", "408"), ("A", "500"))),
    ),
    "a kind that is not counted says nothing": (
        classed, "nothing", story(call("failed", *[("A", "503")] * 5)),
    ),
    "a gateway's error can be called more than one thing": (
        classed, "nothing", story(call("failed", *[("A", "502")] * 5)),
    ),
    "a call that says itself how often is not counted by kind": (
        classed, "nothing",
        story(call("failed", *[("A", "408")] * 3, options={"num_retries": 2})),
    ),
    "a target that other calls have failed may be out": (
        classed, "nothing",
        story(call("answered", ("A", "503"), ("B", "200"), at=0), call("failed", ("A", "500"), at=5)),
    ),
}  # fmt: skip

leaves = health.Leaves(A, 2, 10)
transient = health.Transient((A, B))
never = health.Stays((A, B))

FAILS = call("answered", ("A", "503"), ("B", "200"))
AWAY = call("answered", ("B", "200"))
HOME = call("answered", ("A", "200"))
CUT = call("failed", ("A", "200-cut"), stream=True)
LATER = call("answered", ("A", "503"), ("B", "200"), at=4)

ROTATION: dict[str, Case] = {
    # -- health.rotation
    "who fails every call and is left out is kept": (leaves, "kept", story(FAILS, FAILS, AWAY)),
    "who fails every call and is asked again is broken": (leaves, "broken", story(FAILS, FAILS, FAILS)),
    "who was answered once does not fail every call": (
        leaves, "nothing", story(HOME, FAILS, FAILS, FAILS),
    ),
    "streams that break off count": (leaves, "broken", story(FAILS, CUT, LATER)),
    "wrong requests do not": (
        leaves, "nothing", story(*[call("failed", ("A", "400"))] * 4),
    ),
    "too few failures prove nothing": (leaves, "nothing", story(FAILS, AWAY)),
    "whoever is back after its time is not judged": (
        leaves, "nothing",
        story(*(call("answered", ("A", "503"), ("B", "200"), at=at) for at in (0, 1, 15))),
    ),
    "with no sibling that serves anybody may be asked": (
        leaves, "nothing", story(*[call("failed", ("A", "503"), ("B", "503"))] * 4),
    ),
    "failures over hours may be forgotten": (
        leaves, "nothing",
        story(*(call("answered", ("A", "503"), ("B", "200"), at=at) for at in (0, 4000, 4001))),
    ),
    # -- health.transient
    "one failure, and the next call begins there": (transient, "kept", story(HOME, FAILS, HOME)),
    "one failure, and the next call begins elsewhere": (transient, "broken", story(HOME, FAILS, AWAY)),
    "two failures are more than one": (
        transient, "nothing",
        story(HOME, call("answered", ("A", "503"), ("A", "503"), ("B", "200")), AWAY),
    ),
    "a failure at once tells nothing of what came before": (transient, "nothing", story(FAILS, AWAY)),
    "a rate limit asks for patience": (
        transient, "nothing", story(HOME, call("answered", ("A", "429"), ("B", "200")), AWAY),
    ),
    "silence may be taken for more": (
        transient, "nothing", story(HOME, call("answered", ("A", "silence"), ("B", "200")), AWAY),
    ),
    "a hint is heeded": (
        transient, "nothing",
        story(HOME, call("answered", Step("A", "503", hint=30), ("B", "200")), AWAY),
    ),
    "where calls begin anywhere one that begins elsewhere is chance": (
        transient, "nothing", story(HOME, AWAY, FAILS, AWAY),
    ),
    "a caller that overlaps the failure did not know": (
        transient, "nothing",
        story(
            HOME, call("answered", Step("A", "503", took=5), ("B", "200"), at=5),
            call("answered", ("B", "200"), at=7),
        ),
    ),
    # -- health.never
    "whoever is asked again after any failure stays": (never, "kept", story(FAILS, FAILS, FAILS, HOME)),
    "whoever is left out after failures does not stay": (never, "broken", story(FAILS, FAILS, AWAY)),
    "whoever is left out for a hint stays": (
        never, "nothing",
        story(call("answered", Step("A", "429", hint=30), ("B", "200")), AWAY),
    ),
    "without a failure nobody has a reason to leave": (never, "nothing", story(HOME, HOME, HOME)),
}  # fmt: skip

own = errors.Own((A, B))
secrets = errors.Secrets()
told = errors.Told()


def shown(
    status: int | None, *, hint: float | None = None, leaked: tuple[str, ...] = ()
) -> dict[str, object]:
    return {"raised": Failure(("ProviderError",), status, retry_after=hint, leaked=leaked)}


DOWN = call("failed", ("A", "500"), ("B", "429"), **shown(429))

ERRORS: dict[str, Case] = {
    # -- errors.own
    "a provider's own error is kept": (
        own, "kept", story(call("failed", ("A", "429"), ("B", "429"), **shown(429))),
    ),
    "a limit that is told as an outage is broken": (
        own, "broken", story(call("failed", ("A", "429"), ("B", "429"), **shown(500))),
    ),
    "an error without a status is broken": (
        own, "broken", story(call("failed", ("A", "401"), ("B", "401"), **shown(None))),
    ),
    "of several errors any may be told": (own, "kept", story(DOWN)),
    "one outage is as good as another": (
        own, "kept", story(call("failed", ("A", "529"), ("B", "503"), **shown(500))),
    ),
    "a refused connection has no class of its own": (
        own, "nothing", story(call("failed", ("A", "refused"), ("B", "429"), **shown(500))),
    ),
    "with a target unasked, the router may say that it has nobody": (
        own, "kept", story(call("failed", ("A", "401"), **shown(503))),
    ),
    "with a target unasked, an error of another kind is broken": (
        own, "broken", story(call("failed", ("A", "401"), **shown(400))),
    ),
    "who was answered saw no error": (own, "nothing", story(call("answered", ("A", "429"), ("B", "200")))),
    "others' errors are not judged": (own, "nothing", story(call("failed", ("Z", "429"), **shown(500)))),
    # -- errors.secrets
    "an error without a key is kept": (secrets, "kept", story(DOWN)),
    "an error with a key is broken": (
        secrets, "broken", story(call("failed", ("A", "401"), **shown(401, leaked=("key-a",)))),
    ),
    "without a request with a key there is none to show": (
        secrets, "nothing", story(call("failed", ("A", "refused"), **shown(None))),
    ),
    "an answer shows no error": (secrets, "nothing", story(call("answered", ("A", "401"), ("B", "200")))),
    # -- errors.hint
    "who is refused while all rest is told when to come back": (
        told, "kept", story(DOWN, call("failed", **shown(503, hint=12))),
    ),
    "who is refused while all rest and told nothing is broken": (
        told, "broken", story(DOWN, call("failed", **shown(503))),
    ),
    "who is refused for another reason need not come back": (
        told, "nothing", story(DOWN, call("failed", **shown(400))),
    ),
    "who was asked says it itself": (told, "nothing", story(DOWN, call("failed", ("A", "503"), **shown(503)))),
    "with somebody in service nobody rests": (
        told, "nothing", story(FAILS, call("failed", **shown(503))),
    ),
    "without a failure nobody rests": (told, "nothing", story(call("failed", **shown(503)))),
}  # fmt: skip

MINE: tuple[Contract, ...] = (
    disabled,
    chosen, capable, dimension, named, fits, total, classed, leaves, transient, never, own, secrets,
    told, fallback.Disabled((C, A)), health.Leaves(B, 1), retry.Total((A,), 0),
)  # fmt: skip
"""The contracts themselves, for laws that hold of all."""
