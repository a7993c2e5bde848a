-- The statements that both SQL engines run. `:name` is a parameter. A statement that one
-- engine needs otherwise stands under the same name in that engine's own file.

-- name: head
-- The log's last event.
SELECT position, recorded_us, hash FROM events ORDER BY position DESC LIMIT 1

-- name: instant_of
SELECT recorded_us FROM events WHERE position = :position

-- name: position_at
-- Positions are dense and times never go back: a binary search along the primary key.
WITH RECURSIVE search(low, high) AS (
    SELECT 0, coalesce((SELECT max(position) FROM events), 0)
    UNION ALL
    SELECT
        CASE WHEN (SELECT recorded_us FROM events WHERE position = (low + high + 1) / 2) <= :instant
             THEN (low + high + 1) / 2 ELSE low END,
        CASE WHEN (SELECT recorded_us FROM events WHERE position = (low + high + 1) / 2) <= :instant
             THEN high ELSE (low + high + 1) / 2 - 1 END
    FROM search WHERE low < high
)
SELECT low FROM search WHERE low >= high

-- name: stream_id
SELECT id FROM streams WHERE branch = :branch AND name = :name

-- name: key_id
SELECT id FROM keys WHERE stream = :stream AND kind = :kind AND name = :name

-- name: key_head
-- The last state event of a key at or before a position, and the stream's last clear there.
SELECT version, position, type, expires_us, data,
       (SELECT max(position) FROM clears WHERE stream = :stream AND position <= :position)
FROM events WHERE key = :key AND position <= :position ORDER BY position DESC LIMIT 1

-- name: first_clear
SELECT position, version, recorded_us FROM clears
WHERE stream = :stream AND position > :after AND position <= :position ORDER BY position LIMIT 1

-- name: key_positions
-- Where a key's state events and its stream's clears lie.
SELECT position FROM events WHERE key = :key AND position <= :position
UNION ALL
SELECT position FROM clears WHERE stream = :stream AND position <= :position

-- name: current
-- The live keys of a stream from the current-state projection.
SELECT k.name, e.version, e.position, e.expires_us, e.data
FROM state s JOIN keys k ON k.id = s.key JOIN events e ON e.position = s.position
WHERE s.stream = :stream

-- name: last_of_stream
-- The last state event of each key of a stream at or before a position.
SELECT k.name, e.version, e.position, e.type, e.expires_us, e.data
FROM keys k JOIN events e
  ON e.position = (SELECT max(position) FROM events WHERE key = k.id AND position <= :position)
WHERE k.stream = :stream AND k.kind = 0

-- name: last_of_branch
-- The last state event of each key of a branch at or before a position.
SELECT s.name, k.name, e.version, e.position, e.type, e.expires_us, e.data
FROM (SELECT key, max(position) AS position FROM events WHERE key IS NOT NULL AND position <= :position GROUP BY key) l
JOIN events e ON e.position = l.position
JOIN keys k ON k.id = e.key AND k.kind = 0
JOIN streams s ON s.id = e.stream AND s.branch = :branch

-- name: clears_of_branch
SELECT s.name, c.position, c.version, c.recorded_us FROM clears c JOIN streams s ON s.id = c.stream
WHERE s.branch = :branch AND c.position <= :position ORDER BY c.position

-- name: clears_of_stream
SELECT position, version, recorded_us FROM clears
WHERE stream = :stream AND position <= :position ORDER BY position

-- name: streams
-- The streams of a branch that have an event at or before a position.
SELECT s.name FROM streams s
WHERE s.branch = :branch AND EXISTS (
    SELECT 1 FROM events e WHERE e.stream = s.id
    AND e.version = (SELECT min(version) FROM events WHERE stream = s.id) AND e.position <= :position)

-- name: present
-- The streams of a branch that hold a value.
SELECT s.name FROM streams s
WHERE s.branch = :branch AND EXISTS (
    SELECT 1 FROM state c WHERE c.stream = s.id AND (c.expires_us IS NULL OR c.expires_us > :now))

-- name: last_version
SELECT version, position FROM events WHERE stream = :stream ORDER BY version DESC LIMIT 1

-- name: first_version
SELECT version FROM events WHERE stream = :stream ORDER BY version LIMIT 1

-- name: version_below
-- The last version at or below another: a stream whose versions another library chose has gaps.
SELECT version, position FROM events WHERE stream = :stream AND version <= :version ORDER BY version DESC LIMIT 1

-- name: expiring
SELECT DISTINCT s.name, k.name FROM events e
JOIN keys k ON k.id = e.key AND k.kind = 0 JOIN streams s ON s.id = e.stream
WHERE e.expires_us > :since AND e.expires_us <= :until AND e.branch = :branch AND e.position <= :position

-- name: expired
SELECT s.name, k.name FROM state c JOIN keys k ON k.id = c.key JOIN streams s ON s.id = c.stream
WHERE c.expires_us <= :now AND s.branch = :branch

-- name: branches
SELECT id, name, parent, position, created_us, dropped FROM branches ORDER BY id

-- name: tracking
SELECT position FROM tracking WHERE name = :name

-- name: trackings
-- The reader appends its condition.
SELECT name, position FROM tracking

-- name: projection
-- Whether the current-state projection is kept.
SELECT kept FROM projections WHERE name = 'state'

-- name: state_count
SELECT count(*) FROM state

-- name: state_rows
SELECT c.stream, c.key, s.branch, s.name, k.name, c.position FROM state c
JOIN keys k ON k.id = c.key JOIN streams s ON s.id = c.stream
WHERE (c.stream, c.key) > (:stream, :key) ORDER BY c.stream, c.key LIMIT :limit

-- name: drop_state
DELETE FROM state

-- name: keep_state
UPDATE projections SET kept = :kept WHERE name = 'state'

-- name: rebuild_state
-- The last set of each key, unless it was deleted, cleared, or swept after it expired.
INSERT INTO state (stream, key, position, expires_us)
SELECT e.stream, e.key, e.position, e.expires_us
FROM (SELECT key, max(position) AS position FROM events WHERE key IS NOT NULL GROUP BY key) l
JOIN events e ON e.position = l.position
JOIN keys k ON k.id = e.key AND k.kind = 0
WHERE e.type = 1
  AND NOT EXISTS (SELECT 1 FROM clears c WHERE c.stream = e.stream AND c.position > e.position
                  AND (e.expires_us IS NULL OR e.expires_us > c.recorded_us))
  AND NOT EXISTS (SELECT 1 FROM keys o JOIN events x ON x.key = o.id
                  WHERE o.stream = k.stream AND o.kind = 1 AND o.name = k.name AND x.type = 4 AND x.position > e.position)

-- name: clears_amiss
-- Clears that do not stand beside the log as they stand in it: as-of reads would miss them, or make them up.
SELECT e.position FROM events e WHERE e.type = 3 AND NOT EXISTS (
    SELECT 1 FROM clears c WHERE c.stream = e.stream AND c.position = e.position
    AND c.version = e.version AND c.recorded_us = e.recorded_us)
UNION ALL
SELECT c.position FROM clears c WHERE NOT EXISTS (
    SELECT 1 FROM events e WHERE e.position = c.position AND e.type = 3 AND e.stream = c.stream)

-- name: causes_count
SELECT count(*) FROM causes

-- name: drop_causes
DELETE FROM causes

-- name: counts
SELECT (SELECT coalesce(max(position), 0) FROM events), (SELECT count(*) FROM streams),
       (SELECT count(*) FROM keys WHERE kind = 0), (SELECT count(*) FROM branches WHERE dropped = 0)

-- name: insert_branch
INSERT INTO branches (id, name, parent, position, created_us, dropped)
VALUES (:id, :name, :parent, :position, :created_us, 0)

-- name: end_branch
UPDATE branches SET dropped = :position WHERE id = :id

-- name: insert_clear
INSERT INTO clears (stream, position, version, recorded_us) VALUES (:stream, :position, :version, :recorded_us)

-- name: put_tracking
INSERT INTO tracking (name, position) VALUES (:name, :position)
ON CONFLICT (name) DO UPDATE SET position = excluded.position

-- name: forget_tracking
DELETE FROM tracking WHERE name = :name

-- name: insert_stream
INSERT INTO streams (branch, name) VALUES (:branch, :name) ON CONFLICT DO NOTHING RETURNING id

-- name: insert_key
INSERT INTO keys (stream, kind, name) VALUES (:stream, :kind, :name) ON CONFLICT DO NOTHING RETURNING id

-- name: insert_type
INSERT INTO types (name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING id

-- name: type_id
SELECT id FROM types WHERE name = :name

-- name: types
SELECT id, name FROM types

-- name: recorded
-- Whole events; the reader appends its conditions.
SELECT e.position, e.branch, s.name, e.version, e.event_id, t.name, k.name, e.recorded_us, e.expires_us,
       e.correlation, e.causes, e.actor, e.extra, e.format, e.cipher_key, e.data, e.hash
FROM events e CROSS JOIN streams s CROSS JOIN types t LEFT JOIN keys k ON k.id = e.key
WHERE s.id = e.stream AND t.id = e.type

-- name: sizes
-- How many bytes of data events have; the reader appends its conditions.
SELECT length(e.data) AS size FROM events e LEFT JOIN keys k ON k.id = e.key WHERE true

-- name: add_writer
-- Again, where nobody knows whether it was added.
INSERT INTO writers (id, pid, boot, started, since) VALUES (:id, :pid, :boot, :started, :since)
ON CONFLICT (id) DO NOTHING

-- name: remove_writer
DELETE FROM writers WHERE id = :id

-- name: writers
SELECT id, pid, boot, started, since FROM writers
