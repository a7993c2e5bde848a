"""The causality graph: a web of causes and effects as networkx knows graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import networkx as nx

from backstory.domain.events import RecordedEvent
from backstory.projections.causes import Web


def digraph(web: Web, decode: Callable[[bytes], Any]) -> nx.DiGraph[UUID]:
    """Return the graph of a web: nodes are event ids with `event`, edges lead to effects with `kind` and `strength`."""
    graph: nx.DiGraph[UUID] = nx.DiGraph()
    ids = {at: UUID(bytes=row.event_id) for at, row in web.events.items()}
    for at in sorted(web.events):
        graph.add_node(ids[at], event=RecordedEvent(web.events[at], decode))
    for cause, effect in sorted(web.edges):
        edge = web.edges[cause, effect]
        if cause in ids and effect in ids:
            graph.add_edge(ids[cause], ids[effect], kind=edge.kind, strength=edge.strength)
    return graph
