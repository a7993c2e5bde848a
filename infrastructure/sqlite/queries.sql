-- What SQLite needs otherwise, or alone.

-- name: size
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()

-- name: insert_event
INSERT INTO events (position, branch, stream, version, event_id, type, key, recorded_us, expires_us,
                    correlation, causes, actor, extra, format, cipher_key, data, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: upsert_state
INSERT INTO state (stream, key, position, expires_us) VALUES (?, ?, ?, ?)
ON CONFLICT (stream, key) DO UPDATE SET position = excluded.position, expires_us = excluded.expires_us

-- name: remove_state
DELETE FROM state WHERE stream = ? AND key = ?

-- name: insert_clear_row
INSERT INTO clears (stream, position, version, recorded_us) VALUES (?, ?, ?, ?)
