"""Conditions of a log query as SQL: only fixed text and parameters, never a caller's text."""

from __future__ import annotations

from backstory.domain.ports import LogQuery


def conditions(query: LogQuery, *, glob: str) -> tuple[list[str], dict[str, object]]:
    """Return the WHERE parts and parameters of a query's filters, bounds and lineage aside.

    `glob` is the engine's pattern condition on `t.name` with `{param}` in it.
    """
    where: list[str] = []
    params: dict[str, object] = {}
    if query.types is not None:
        where.append(_types(query.types, params, glob))
    if query.key is not None:
        where.append("k.name = :key_name")
        params["key_name"] = query.key
    if query.actor is not None:
        where.append("e.actor = :actor")
        params["actor"] = query.actor
    if query.correlation is not None:
        where.append(_correlation(query.correlation, params))
    if query.format is not None:
        where.append(f"e.format = {int(query.format)}")  # no parameter: the partial index wants to see it
    if query.versions is not None:
        where.append("e.version > :above AND e.version <= :below")
        params["above"], params["below"] = query.versions
    return where, params


def _types(types: tuple[str, ...], params: dict[str, object], glob: str) -> str:
    parts: list[str] = []
    for index, name in enumerate(types):
        param = f"type_{index}"
        if "*" in name:
            parts.append(glob.format(param=param))
            params[param] = as_glob(name) if "GLOB" in glob else as_like(name)
        else:
            parts.append(f"name = :{param}")
            params[param] = name
    return f"e.type IN (SELECT id FROM types WHERE {' OR '.join(parts) or '1 = 0'})"


def as_glob(pattern: str) -> str:
    """Return a pattern for SQLite's GLOB in which only `*` is special."""
    return "".join(f"[{sign}]" if sign in "[]?" else sign for sign in pattern)


def as_like(pattern: str) -> str:
    """Return a pattern for LIKE with `!` as escape in which only `*` was special."""
    return "".join(f"!{sign}" if sign in "!%_" else "%" if sign == "*" else sign for sign in pattern)


def _correlation(packed: bytes, params: dict[str, object]) -> str:
    params["correlation"] = packed
    if packed[:1] != b"u":
        return "e.correlation = :correlation"
    params["root"] = packed[1:]
    return "(e.correlation = :correlation OR (e.event_id = :root AND e.correlation IS NULL))"
