"""PROV: what the `prov` package reads back, and what may be concluded."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from prov.model import ProvDocument

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.prov import prov_form
from tests.support.pictures import edge, event, event_id, picture, pictures, written


def read(drawn: Picture) -> ProvDocument:
    """Return what the reference reader makes of a picture."""
    return ProvDocument.deserialize(content=render(drawn, "prov"), format="json")


def pairs(drawn: Picture, relation: str, *ends: str) -> list[tuple[int, ...]]:
    """Return the ends of relations as positions."""
    at = {str(event_id(each.position)): each.position for each in drawn.events}
    relations = prov_form(drawn).get(relation, {}).values()
    return [tuple(at[each[f"prov:{end}"].split(":")[1]] for end in ends) for each in relations]


def derived(drawn: Picture) -> list[tuple[int, ...]]:
    return pairs(drawn, "wasDerivedFrom", "generatedEntity", "usedEntity")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures(most=5))
def test_it_is_read_back_whole(drawn: Picture) -> None:
    form = prov_form(drawn)
    found = read(drawn)

    assert sum(map(len, form.values())) - len(form["prefix"]) == len(list(found.get_records()))
    assert found == ProvDocument.deserialize(content=found.serialize(format="json"), format="json")
    assert len(drawn.events) == len(form.get("activity", {}))


def test_an_event_is_an_activity_of_its_actor_and_its_value_an_entity() -> None:
    drawn = picture([written(1, "plan", {"n": 1}, actor="gpt-4.1 ~", tags=["draft"])], marks={1: "derivation"})
    activity, entity = f"event:{event_id(1)}", f"value:{event_id(1)}"
    at = "2026-09-21T14:13:21.500000+00:00"

    assert prov_form(drawn) == {
        "prefix": {
            "backstory": "urn:backstory:",
            "event": "urn:uuid:",
            "value": "urn:backstory:value:",
            "actor": "urn:backstory:actor:",
        },
        "activity": {
            activity: {
                "prov:startTime": at,
                "prov:endTime": at,
                "prov:type": "state.set",
                "prov:label": "state.set plan",
                "backstory:position": 1,
                "backstory:scope": "agent:a1",
                "backstory:version": 1,
                "backstory:correlation_id": str(event_id(1)),
                "backstory:key": "plan",
                "backstory:mark": "derivation",
                "backstory:tag": ["draft"],
            }
        },
        "entity": {
            entity: {
                "prov:type": {"$": "backstory:Value", "type": "prov:QUALIFIED_NAME"},
                "prov:label": "plan in agent:a1 at 1",
                "prov:value": {"$": '{"n":1}', "type": "backstory:json"},
                "backstory:scope": "agent:a1",
                "backstory:key": "plan",
            }
        },
        "wasGeneratedBy": {"_:wasGeneratedBy1": {"prov:entity": entity, "prov:activity": activity, "prov:time": at}},
        "agent": {"actor:gpt-4.1%20%7E": {"prov:label": "gpt-4.1 ~"}},
        "wasAssociatedWith": {"_:wasAssociatedWith1": {"prov:activity": activity, "prov:agent": "actor:gpt-4.1%20%7E"}},
    }


def test_edges_say_what_informed_and_what_was_used() -> None:
    drawn = picture(
        [event(1, "note.taken", {"n": 1}), written(2, "a", 1), event(3, "note.taken")],
        [edge(1, 3), edge(1, 3, "response_to", 0.5), edge(2, 3, "read"), edge(1, 2, "read"), edge(2, 3, "part_of")],
    )
    form = prov_form(drawn)

    assert [(3, 1), (3, 1), (2, 1)] == pairs(drawn, "wasInformedBy", "informed", "informant")
    assert [(3, 2)] == pairs(drawn, "used", "activity", "entity")
    assert [{"$": f"event:{event_id(2)}", "type": "prov:QUALIFIED_NAME"}] == form["activity"][f"event:{event_id(3)}"][
        "backstory:part_of"
    ]


def test_a_copy_derives_from_its_source() -> None:
    source = {"source": {"scope": "agent:a1", "key": "a", "position": 1}}
    drawn = picture([written(1, "a", 1), written(2, "a", 2), written(3, "b", 1, op="copy", beside=source)])

    assert [(3, 1)] == derived(drawn)


def test_an_increment_derives_from_what_it_added_to() -> None:
    drawn = picture(
        [written(1, "a", 1), written(2, "b", 1), written(3, "a", 2, op="increment")],
        marks=dict.fromkeys((1, 3), "derivation"),
    )

    assert [(3, 1)] == derived(drawn)


def test_an_update_derives_from_what_it_read_of_its_own_key() -> None:
    drawn = picture(
        [written(1, "a", 1), written(2, "b", 1), written(3, "a", 2, op="update", reads=[1, 2])],
        [edge(1, 3, "read"), edge(2, 3, "read")],
    )

    assert [(3, 1)] == derived(drawn)


def test_nothing_derives_from_what_was_merely_before_it_or_read() -> None:
    drawn = picture(
        [written(1, "a", 1), written(2, "a", 2, reads=[1]), written(3, "a", 3, op="increment")], [edge(1, 2, "read")]
    )

    assert [] == derived(drawn)


def test_a_removal_generates_nothing() -> None:
    form = prov_form(picture([event(1, "state.deleted", {"op": "delete"}, key="a")]))

    assert {"prefix", "activity"} == form.keys()


def test_values_of_any_size_are_whole() -> None:
    value: Any = ["x" * 2**20, 10**5_000]
    [entity] = json.loads(render(picture([written(1, "a", value)]), "prov"))["entity"].values()

    assert ["x" * 2**20, {"$int": hex(10**5_000)}] == json.loads(entity["prov:value"]["$"])
