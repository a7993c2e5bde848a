-- What PostgreSQL needs otherwise, or alone.

-- name: position_at
WITH RECURSIVE search(low, high) AS (
    SELECT 0::bigint, coalesce((SELECT max(position) FROM events), 0)
    UNION ALL
    SELECT
        CASE WHEN early THEN middle ELSE low END,
        CASE WHEN early THEN high ELSE middle - 1 END
    FROM (
        SELECT low, high, (low + high + 1) / 2 AS middle,
               (SELECT recorded_us FROM events WHERE position = (low + high + 1) / 2) <= :instant AS early
        FROM search WHERE low < high
    ) step
)
SELECT low FROM search WHERE low >= high

-- name: last_of_stream
SELECT k.name, e.version, e.position, e.type, e.expires_us, e.data
FROM keys k CROSS JOIN LATERAL (
    SELECT version, position, type, expires_us, data FROM events
    WHERE key = k.id AND position <= :position ORDER BY position DESC LIMIT 1) e
WHERE k.stream = :stream AND k.kind = 0

-- name: store_exists
SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = :namespace AND c.relname = 'store')

-- name: size
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'

-- name: damage
-- PostgreSQL checks the pages it reads by their checksums, and leaves indexes to its extension amcheck.
SELECT '' WHERE false

-- name: begin
BEGIN

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: lock
-- One writer a log: positions are dense and in commit order.
SELECT pg_advisory_xact_lock(:lock)

-- name: hold_writer
SELECT pg_advisory_lock_shared(:lock)

-- name: writer_locks
-- The locks that sessions of this database hold; writers' are among them.
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: notify
SELECT pg_notify(:channel, :payload)

-- name: recorded_at_all
-- Which of these events are in the log, after a commit whose answer was lost.
SELECT count(*) FROM events WHERE event_id = ANY(:ids)

-- name: packed_page
-- All of `packed` in one row, in the order of the inner query.
SELECT count(*), min(position), max(position), string_agg(int4send(octet_length(record)) || record, ''),
    convert_to('[' || string_agg(touch, ',') || ']', 'UTF8')
FROM

-- name: packed
-- Each event's record (domain/packed_events.py), and what it touched; the reader appends its conditions.
SELECT e.position, json_build_array(e.position, e.branch, s.name, t.name, k.name, e.expires_us)::text AS touch,
    int8send(e.position) || int4send(e.branch) || int8send(e.version) || int8send(e.recorded_us)
    || int8send(coalesce(e.expires_us, -1)) || substring(int2send(e.format) from 2) || int4send(e.cipher_key)
    || int4send(octet_length(b.stream)) || int4send(octet_length(b.type))
    || coalesce(int4send(octet_length(b.key)), '\xffffffff')
    || coalesce(int4send(octet_length(e.correlation)), '\xffffffff')
    || coalesce(int4send(octet_length(e.causes)), '\xffffffff')
    || coalesce(int4send(octet_length(e.actor)), '\xffffffff')
    || coalesce(int4send(octet_length(e.extra)), '\xffffffff') || int4send(octet_length(e.data))
    || e.event_id || b.stream || b.type || coalesce(b.key, '') || coalesce(e.correlation, '')
    || coalesce(e.causes, '') || coalesce(e.actor, '') || coalesce(e.extra, '') || e.data AS record
FROM events e CROSS JOIN streams s CROSS JOIN types t LEFT JOIN keys k ON k.id = e.key CROSS JOIN LATERAL (
    SELECT convert_to(s.name, 'UTF8') AS stream, convert_to(t.name, 'UTF8') AS type, convert_to(k.name, 'UTF8') AS key
) b
WHERE s.id = e.stream AND t.id = e.type

-- name: among_ids
-- A condition of `recorded`.
e.event_id = ANY(:ids::bytea[])

-- name: among_positions
-- A condition of `recorded`.
e.position = ANY(:positions::bigint[])

-- name: effects
-- One seek for each cause, one for each effect, whatever the planner knows: OFFSET 0 keeps the inner query whole.
SELECT c.cause, c.effect, (SELECT branch FROM events WHERE position = c.effect)
FROM unnest(:positions::bigint[]) AS p(position) CROSS JOIN LATERAL (
    SELECT cause, effect FROM causes WHERE cause = p.position AND effect <= :until OFFSET 0) c

-- name: named_as_cause
SELECT p.position FROM unnest(:positions::bigint[]) AS p(position) CROSS JOIN LATERAL (
    SELECT 1 FROM causes WHERE cause = p.position LIMIT 1) c

-- name: named_causes
-- What the events say: each cause of each effect, what it read, and the write with which it shares reads, once.
-- No text of PostgreSQL's holds NUL, and it looks at all text of a JSON value to find a part of it.
SELECT c.position AS cause, e.position AS effect
FROM events e CROSS JOIN LATERAL generate_series(1, length(e.causes), 16) AS place
JOIN events c ON c.event_id = substr(e.causes, place, 16)
WHERE e.causes IS NOT NULL
UNION
SELECT r.value::bigint, e.position
FROM events e CROSS JOIN LATERAL
    json_array_elements_text(replace(convert_from(e.extra, 'UTF8'), '\u0000', '\ufffd')::json -> 'reads') AS r
WHERE e.extra IS NOT NULL AND position('"reads":['::bytea IN e.extra) > 0
UNION
SELECT c.position, e.position
FROM events e JOIN events c ON c.event_id = decode(
    replace(convert_from(e.extra, 'UTF8'), '\u0000', '\ufffd')::json ->> 'reads_with', 'hex')
WHERE e.extra IS NOT NULL AND position('"reads_with":"'::bytea IN e.extra) > 0

-- name: insert_event
INSERT INTO events (position, branch, stream, version, event_id, type, key, recorded_us, expires_us,
                    correlation, causes, actor, extra, format, cipher_key, data, hash)
SELECT * FROM unnest(:c0::bigint[], :c1::integer[], :c2::bigint[], :c3::bigint[], :c4::bytea[], :c5::integer[],
                     :c6::bigint[], :c7::bigint[], :c8::bigint[], :c9::bytea[], :c10::bytea[], :c11::bytea[],
                     :c12::bytea[], :c13::smallint[], :c14::integer[], :c15::bytea[], :c16::bytea[])

-- name: upsert_state
INSERT INTO state (stream, key, position, expires_us)
SELECT * FROM unnest(:c0::bigint[], :c1::bigint[], :c2::bigint[], :c3::bigint[])
ON CONFLICT (stream, key) DO UPDATE SET position = excluded.position, expires_us = excluded.expires_us

-- name: insert_keys
-- Names is a JSON array of [stream, kind, name]. Those that exist are not returned.
INSERT INTO keys (stream, kind, name)
SELECT (n->>0)::bigint, (n->>1)::smallint, n->>2 FROM jsonb_array_elements(:names::jsonb) n
ON CONFLICT DO NOTHING RETURNING id, stream, kind, name

-- name: find_keys
SELECT k.id, k.stream, k.kind, k.name FROM jsonb_array_elements(:names::jsonb) n
JOIN keys k ON k.stream = (n->>0)::bigint AND k.kind = (n->>1)::smallint AND k.name = n->>2

-- name: remove_state
DELETE FROM state s USING unnest(:c0::bigint[], :c1::bigint[]) AS gone(stream, key)
WHERE s.stream = gone.stream AND s.key = gone.key

-- name: insert_cause
INSERT INTO causes (cause, effect) SELECT * FROM unnest(:c0::bigint[], :c1::bigint[])

-- name: insert_clear_row
INSERT INTO clears (stream, position, version, recorded_us)
SELECT * FROM unnest(:c0::bigint[], :c1::bigint[], :c2::bigint[], :c3::bigint[])
