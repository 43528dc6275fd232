from __future__ import annotations

from happened import answered, ask, go, outage, spread
from llmroute_sim.history import History
from pytest_llmroute import measure

# -- failing over


def test_failover_is_from_the_first_failure_to_the_attempt_elsewhere_that_answered():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0, until=2.0)
    go(history, call, "openai", "503", at=3.0, until=3.5)
    go(history, call, "groq", "503", at=4.0, until=4.5)
    go(history, call, "anthropic", at=5.25, until=9.0)
    assert spread(measure(history).failover) == (1, 3.25, 3.25, 3.25, 3.25)


def test_a_retry_at_the_same_place_is_no_failover():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "refused", at=0.0, model=None)
    go(history, call, "openai", at=1.0)
    assert measure(history).failover is None


def test_failing_over_to_a_gateway_ends_when_the_gateway_is_asked():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0)
    outer = go(history, call, "groq", at=1.0, shown=False)
    outer.marks = ()
    go(history, call, "anthropic", at=3.0, via=outer.id)
    assert measure(history).failover.worst == 1.0


def test_another_model_of_the_same_host_is_another_place():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "404", at=0.0, model="gone")
    go(history, call, "openai", at=1.0, model="there")
    assert measure(history).failover.worst == 1.0


def test_a_call_that_was_not_answered_did_not_fail_over():
    history = History()
    call = ask(history, 0.0, 9.0, outcome="failed")
    go(history, call, "openai", "503")
    go(history, call, "anthropic", "503", at=1.0)
    assert measure(history).failover is None


def test_a_second_place_asked_at_once_took_no_time():
    history = History()
    call = ask(history, 0.0, 9.0)
    go(history, call, "openai", "503", at=0.0, until=5.0)
    go(history, call, "anthropic", at=1.0, until=4.0)
    assert measure(history).failover.worst == 0.0


# -- recovery


def met(history, at, name="outage at openai", *, then="anthropic", place="openai"):
    """A call that meets an incident and is answered elsewhere, or nowhere."""
    call = ask(history, at, at + 1, outcome="answered" if then else "failed")
    go(history, call, place, "503", faults=(name,))
    if then:
        go(history, call, then)
    return call


def test_recovery_is_from_the_end_of_an_incident_to_the_first_answer_of_its_place():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    for at in (80.0, 110.0, 125.0):
        answered(history, at, place="anthropic")
    answered(history, 150.0)
    figures = measure(history)
    assert spread(figures.recovery) == (1, 30.0, 30.0, 30.0, 30.0)
    assert spread(figures.ejection) == (1, 20.0, 20.0, 20.0, 20.0)
    assert figures.never_recovered == figures.never_ejected == 0


def test_a_place_that_nobody_asks_again_never_recovered():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    answered(history, 150.0, place="anthropic")
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 1)


def test_a_sick_place_that_every_call_visits_first_was_never_left_out():
    history = History()
    outage(history, 60.0, 120.0)
    for at in (60.0, 70.0, 80.0):
        met(history, at)
    figures = measure(history)
    assert (figures.ejection, figures.never_ejected) == (None, 1)


def test_a_place_that_is_left_out_only_after_an_incident_was_not_left_out_in_it():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    met(history, 80.0)
    answered(history, 130.0, place="anthropic")
    assert measure(history).never_ejected == 1


def test_only_answers_show_that_a_place_is_left_out_and_that_it_is_back():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    go(history, ask(history, 70.0, outcome="failed"), "anthropic", "503")
    answered(history, 80.0, place="anthropic")
    go(history, ask(history, 130.0), "openai", "200-cut")
    answered(history, 150.0)
    figures = measure(history)
    assert figures.ejection.worst == 20.0
    assert figures.recovery.worst == 30.0


def test_two_incidents_that_end_together_are_recovered_from_once():
    history = History()
    outage(history, 60.0, 120.0)
    slow = outage(history, 70.0, 120.0, "slow at openai")
    met(history, 80.0)
    history.attempts[0].faults += (slow,)
    answered(history, 130.0)
    assert spread(measure(history).recovery) == (1, 10.0, 10.0, 10.0, 10.0)


def test_an_incident_that_comes_again_is_recovered_from_each_time_that_it_was_met():
    history = History()
    for start in (60.0, 180.0, 300.0):
        outage(history, start, start + 60.0)
    met(history, 65.0)
    answered(history, 130.0)
    met(history, 200.0)
    answered(history, 260.0)
    answered(history, 400.0)
    assert spread(measure(history).recovery) == (2, 10.0, 20.0, 20.0, 20.0)


def test_refused_and_turned_away_at_one_place_are_one_place():
    history = History()
    name = outage(history, 0.0, 60.0, "down at openai")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "refused", faults=(name,), model=None)
    go(history, call, "openai", "503", faults=(name,))
    answered(history, 75.0)
    assert measure(history).recovery.count == 1


def test_without_a_call_afterwards_recovery_was_not_measured():
    history = History()
    outage(history, 60.0, 120.0)
    met(history, 65.0)
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 0)
    assert (figures.ejection, figures.never_ejected) == (None, 0)


def test_an_incident_that_nobody_met_is_not_recovered_from():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    answered(history, 130.0)
    assert measure(history).recovery is None


def test_an_incident_without_an_end_is_not_recovered_from():
    history = History()
    outage(history, 60.0)
    met(history, 65.0)
    answered(history, 130.0)
    figures = measure(history)
    assert (figures.recovery, figures.never_recovered) == (None, 0)


def test_an_incident_that_ends_while_another_acts_heals_nothing():
    history = History()
    outage(history, 60.0, 120.0)
    slow = outage(history, 60.0, 180.0, "slow at openai")
    met(history, 65.0).started = 65.0
    history.attempts[0].faults += (slow,)
    met(history, 150.0, slow)
    answered(history, 200.0)
    assert spread(measure(history).recovery) == (1, 20.0, 20.0, 20.0, 20.0)


def test_a_place_that_is_only_asked_when_others_fail_has_nothing_to_return_to():
    history = History()
    name = outage(history, 0.0, 60.0, "outage at *")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "503", faults=(name,))
    go(history, call, "anthropic", "503", faults=(name,))
    resting = ask(history, 10.0, outcome="failed")
    go(history, resting, "anthropic", "503", faults=(name,))
    answered(history, 70.0, 71.0)
    figures = measure(history)
    assert spread(figures.recovery) == (1, 10.0, 10.0, 10.0, 10.0)
    assert figures.never_recovered == 0


def test_a_place_whose_connections_were_refused_is_found_again_by_its_host():
    history = History()
    name = outage(history, 0.0, 60.0, "refused at openai")
    call = ask(history, 0.0, outcome="failed")
    go(history, call, "openai", "refused", faults=(name,), model=None)
    answered(history, 75.0)
    assert measure(history).recovery.worst == 15.0


def test_only_calls_that_ask_for_the_same_tell_of_an_incident():
    history = History()
    outage(history, 60.0, 120.0)
    answered(history, 0.0)
    met(history, 65.0)
    answered(history, 70.0, place="groq", group="other")
    answered(history, 130.0, place="groq", group="other")
    figures = measure(history)
    assert (figures.ejection, figures.recovery) == (None, None)
    assert (figures.never_ejected, figures.never_recovered) == (0, 0)
