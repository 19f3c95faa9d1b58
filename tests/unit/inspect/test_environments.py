"""Two environments are compared, and each difference has the input that causes it."""

from __future__ import annotations

from kplan.diagnostics import Span
from kplan.inspect.environments import EnvironmentInput, State, collect_resources, compare_states
from kplan.model import Address, Connector, Origin, Secret, Stack, Topic

HERE, ELSEWHERE = Span("stack.yaml", 4, 3, 4, 9), Span("stack.yaml", 9, 3, 9, 9)
VARIABLE, DEFAULTS, NAME = EnvironmentInput("variable", "size"), EnvironmentInput("defaults"), EnvironmentInput("name")


def state(*topics: Topic | Connector) -> State:
    return collect_resources([Stack("shop", "dev", {topic.address: topic for topic in topics})])


def topic(name: str = "a", partitions: int = 1, span: Span = HERE, **config: str) -> Topic:
    return Topic(name, partitions, 1, config, origin=Origin(span))


def test_the_cause_is_the_input_with_which_the_value_changed() -> None:
    states = [state(topic()), state(topic(partitions=6)), state(topic(partitions=6, x="2"))]
    (difference,) = compare_states(states, [VARIABLE, DEFAULTS]).differences
    assert [(each.path, each.values, each.causes) for each in difference.settings] == [
        ("/partitions", (1, 6), (VARIABLE,)),
        ("/config/x", (None, "2"), (DEFAULTS,)),
    ]


def test_two_inputs_that_both_change_a_value_are_both_causes() -> None:
    states = [state(topic()), state(topic(partitions=3)), state(topic(partitions=6))]
    (difference,) = compare_states(states, [VARIABLE, DEFAULTS]).differences
    assert difference.settings[0].causes == (VARIABLE, DEFAULTS)


def test_equal_resources_are_counted() -> None:
    compared = compare_states([state(topic("a"), topic("b")), state(topic("a"), topic("b"))], [VARIABLE])
    assert (compared.differences, compared.same) == ((), 2)


def test_a_resource_of_one_environment_alone_has_the_cause_of_its_presence() -> None:
    states = [state(topic("a")), state(topic("a"), topic("b", span=ELSEWHERE))]
    (difference,) = compare_states(states, [VARIABLE]).differences
    assert (difference.addresses, difference.causes) == ((None, Address("topic", "b")), (VARIABLE,))


def test_a_name_that_contains_the_environments_name_is_one_resource() -> None:
    states = [state(topic("dev.a")), state(topic("dev.a", 6)), state(topic("prod.a", 6))]
    (difference,) = compare_states(states, [VARIABLE, NAME], [("dev", "prod")]).differences
    assert difference.addresses == (Address("topic", "dev.a"), Address("topic", "prod.a"))
    assert difference.causes == (NAME,)
    assert [(each.path, each.causes) for each in difference.settings] == [("/partitions", (VARIABLE,))]


def test_names_that_differ_otherwise_are_two_resources() -> None:
    states = [state(topic("left")), state(topic("right"))]
    differences = compare_states(states, [VARIABLE], [("dev", "prod")]).differences
    assert [each.addresses for each in differences] == [
        (Address("topic", "left"), None),
        (None, Address("topic", "right")),
    ]


def test_blocks_of_two_places_are_two_resources() -> None:
    states = [state(topic("dev.a")), state(topic("prod.a", span=ELSEWHERE))]
    assert len(compare_states(states, [NAME], [("dev", "prod")]).differences) == 2


def test_a_connector_on_another_connect_is_the_same_one() -> None:
    on_default, on_sinks = (Connector(name, {"tasks.max": "1"}, origin=Origin(HERE)) for name in ("c", "sinks/c"))
    (difference,) = compare_states([state(on_default), state(on_sinks)], [VARIABLE]).differences
    assert (difference.addresses, difference.settings) == ((on_default.address, on_sinks.address), ())


def test_secrets_that_are_unknown_are_listed_and_known_ones_compared() -> None:
    def connector(secret: Secret) -> State:
        return state(Connector("c", {"database.password": secret}, origin=Origin(HERE)))

    unknown = compare_states([connector(Secret("{{ var.a }}")), connector(Secret("{{ var.b }}"))], [VARIABLE])
    assert (unknown.differences, unknown.same) == ((), 1)
    assert unknown.uncompared == ((Address("connector", "c"), "/config/database.password"),)
    known = compare_states([connector(Secret(value="one")), connector(Secret(value="two"))], [VARIABLE])
    assert [each.causes for each in known.differences[0].settings] == [(VARIABLE,)]
    assert known.uncompared == ()
