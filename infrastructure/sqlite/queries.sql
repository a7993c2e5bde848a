-- What SQLite needs otherwise, or alone.

-- name: size
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()

-- name: damage
-- Every index against its table, too: a read by a damaged index would be wrong without a word.
SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'

-- name: packed_page
-- All of `packed` in one row. SQLite keeps the order of an inner query that has a limit.
SELECT count(*), min(position), max(position), CAST(group_concat(record, '') AS BLOB),
    CAST('[' || group_concat(touch) || ']' AS BLOB)
FROM

-- name: packed
-- Each event's record behind its length (domain/packed_events.py), and what it touched; the reader appends its conditions.
SELECT e.position, json_array(e.position, e.branch, s.name, t.name, k.name, e.expires_us) AS touch,
    unhex(printf('%08x%016x%08x%016x%016x%016x%02x%08x%08x%08x%08x%s%08x',
        89 + octet_length(s.name) + octet_length(t.name) + ifnull(octet_length(k.name), 0)
            + ifnull(length(e.correlation), 0) + ifnull(length(e.causes), 0) + ifnull(length(e.actor), 0)
            + ifnull(length(e.extra), 0) + length(e.data),
        e.position, e.branch, e.version, e.recorded_us, ifnull(e.expires_us, -1), e.format, e.cipher_key,
        octet_length(s.name), octet_length(t.name), ifnull(octet_length(k.name), 4294967295),
        -- Most events have none of these.
        iif(coalesce(e.correlation, e.causes, e.actor, e.extra) IS NULL, 'ffffffffffffffffffffffffffffffff',
            printf('%08x%08x%08x%08x',
                ifnull(length(e.correlation), 4294967295), ifnull(length(e.causes), 4294967295),
                ifnull(length(e.actor), 4294967295), ifnull(length(e.extra), 4294967295))),
        length(e.data)))
    || e.event_id || s.name || t.name || ifnull(k.name, '') || ifnull(e.correlation, '') || ifnull(e.causes, '')
    || ifnull(e.actor, '') || ifnull(e.extra, '') || e.data AS record
FROM events e CROSS JOIN streams s CROSS JOIN types t LEFT JOIN keys k ON k.id = e.key
WHERE s.id = e.stream AND t.id = e.type

-- name: among_ids
-- A condition of `recorded`.
e.event_id IN (SELECT unhex(value) FROM json_each(:ids))

-- name: among_positions
-- A condition of `recorded`.
e.position IN (SELECT value FROM json_each(:positions))

-- name: effects
-- One seek for each cause, one for each effect.
SELECT c.cause, c.effect, (SELECT branch FROM events WHERE position = c.effect)
FROM json_each(:positions) p CROSS JOIN causes c WHERE c.cause = p.value AND c.effect <= :until

-- name: named_as_cause
SELECT p.value FROM json_each(:positions) p WHERE EXISTS (SELECT 1 FROM causes c WHERE c.cause = p.value)

-- name: named_causes
-- What the events say: each cause of each effect, what it read, and the write with which it shares reads, once.
WITH RECURSIVE named(effect, place) AS (
    SELECT position, 1 FROM events WHERE causes IS NOT NULL
    UNION ALL
    SELECT n.effect, n.place + 16 FROM named n CROSS JOIN events e
    WHERE e.position = n.effect AND n.place + 16 <= length(e.causes)
)
SELECT c.position AS cause, n.effect FROM named n CROSS JOIN events e CROSS JOIN events c
WHERE e.position = n.effect AND c.event_id = substr(e.causes, n.place, 16)
UNION
SELECT r.value, e.position FROM events e CROSS JOIN json_each(CAST(e.extra AS TEXT), '$.reads') r
WHERE e.extra IS NOT NULL AND instr(e.extra, CAST('"reads":[' AS BLOB)) > 0
UNION
SELECT c.position, e.position FROM events e CROSS JOIN events c
WHERE e.extra IS NOT NULL AND instr(e.extra, CAST('"reads_with":"' AS BLOB)) > 0
    AND c.event_id = unhex(json_extract(CAST(e.extra AS TEXT), '$.reads_with'))

-- name: insert_event
INSERT INTO events (position, branch, stream, version, event_id, type, key, recorded_us, expires_us,
                    correlation, causes, actor, extra, format, cipher_key, data, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: upsert_state
INSERT INTO state (stream, key, position, expires_us) VALUES (?, ?, ?, ?)
ON CONFLICT (stream, key) DO UPDATE SET position = excluded.position, expires_us = excluded.expires_us

-- name: insert_keys
-- Names is a JSON array of [stream, kind, name]. Those that exist are not returned.
INSERT INTO keys (stream, kind, name)
SELECT value->>0, value->>1, value->>2 FROM json_each(:names) WHERE true
ON CONFLICT DO NOTHING RETURNING id, stream, kind, name

-- name: find_keys
SELECT k.id, k.stream, k.kind, k.name FROM json_each(:names) n CROSS JOIN keys k
WHERE k.stream = n.value->>0 AND k.kind = n.value->>1 AND k.name = n.value->>2

-- name: remove_state
DELETE FROM state WHERE stream = ? AND key = ?

-- name: insert_cause
INSERT INTO causes (cause, effect) VALUES (?, ?)

-- name: insert_clear_row
INSERT INTO clears (stream, position, version, recorded_us) VALUES (?, ?, ?, ?)
