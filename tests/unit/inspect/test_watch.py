"""What is new since the last reading is told once; what is put back is what the stack declares as it was applied."""

from __future__ import annotations

from kplan.inspect.drift import GONE, DriftReport, JudgedDrift, Next
from kplan.inspect.watch import DriftMemory, HealingPauses, find_healable, find_obstacle_to_healing
from kplan.model import Action, Address, AttrDiff, Change, Drift, Risk, Target
from kplan.planning.document import Plan, Step

ORDERS = Address("topic", "shop.orders")
RETENTION = "/config/retention.ms"


def report(*drift: tuple[str, str, Next], stack: str = "shop") -> DriftReport:
    judged = tuple(JudgedDrift(Drift(ORDERS, path, "1", live), "1", after) for path, live, after in drift)
    return DriftReport(stack, "dev", 1, judged)


def test_drift_is_told_when_it_begins_when_it_changes_and_when_it_is_over() -> None:
    memory, drifted = DriftMemory(), report((RETENTION, "2", Next.PUTS_BACK))
    assert memory.update([report()]) == ([], [])
    assert memory.update([drifted]) == ([drifted], [])
    assert memory.update([drifted]) == ([], [])
    other = report((RETENTION, "3", Next.PUTS_BACK))
    assert memory.update([other]) == ([other], [])
    assert memory.update([report()]) == ([], ["shop"])
    assert memory.update([report((RETENTION, "3", Next.IGNORES))]) == ([], [])


def test_only_configs_that_the_stack_still_declares_are_put_back() -> None:
    assert find_healable(report((RETENTION, "2", Next.PUTS_BACK))) == {ORDERS: frozenset({RETENTION})}
    for path, after in (
        ("/partitions", Next.PUTS_BACK),
        (GONE, Next.PUTS_BACK),
        ("/config/cleanup.policy", Next.OVERWRITES),
        ("/config/cleanup.policy", Next.DELETES),
        ("/config/cleanup.policy", Next.REFUSES),
    ):
        assert find_healable(report((RETENTION, "2", Next.PUTS_BACK), (path, "2", after))) == {}


def plan(change: Change) -> Plan:
    return Plan("shop", "dev", Target(), (Step(1, 1, change),))


def test_a_plan_that_does_more_puts_nothing_back() -> None:
    healable = {ORDERS: frozenset({RETENTION})}
    diff = AttrDiff(RETENTION, "2", "1")
    assert find_obstacle_to_healing(plan(Change(ORDERS, Action.UPDATE, diffs=(diff,))), healable) == ""
    more = AttrDiff("/partitions", 1, 2)
    for change, words in (
        (Change(ORDERS, Action.CREATE), "would create topic/shop.orders"),
        (Change(Address("topic", "x"), Action.UPDATE, diffs=(diff,)), "would update topic/x"),
        (Change(ORDERS, Action.UPDATE, diffs=(diff, more)), "/partitions"),
        (
            Change(
                ORDERS,
                Action.UPDATE,
                diffs=(diff,),
                risks=(Risk("K401", "danger", "x", "data-loss", accepted="stack"),),
            ),
            "K401",
        ),
        (Change(ORDERS, Action.UPDATE, diffs=(diff,), risks=(Risk("K401", "danger", "x", "data-loss"),)), "blocked"),
    ):
        assert words in find_obstacle_to_healing(plan(change), healable)


def test_attempts_are_spaced_out_and_forgotten_in_time() -> None:
    pauses = HealingPauses(10)
    assert pauses.find_due([ORDERS], 0) == [ORDERS]
    pauses.record([ORDERS], 0)
    assert pauses.find_due([ORDERS], 19) == []
    assert pauses.find_due([ORDERS], 20) == [ORDERS]
    pauses.record([ORDERS], 20)
    assert pauses.find_due([ORDERS], 59) == []
    pauses.forget_settled([ORDERS], 100)
    pauses.forget_settled([], 59)
    assert pauses.attempts
    pauses.forget_settled([], 60)
    assert not pauses.attempts
    for _ in range(20):
        pauses.record([ORDERS], 0)
    assert pauses.find_due([ORDERS], 3600) == [ORDERS]
