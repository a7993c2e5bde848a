-- What SQLite needs otherwise, or alone.

-- name: size
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()

-- name: damage
-- Every index against its table, too: a read by a damaged index would be wrong without a word.
SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'

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

-- name: insert_clear_row
INSERT INTO clears (stream, position, version, recorded_us) VALUES (?, ?, ?, ?)
