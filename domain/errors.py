"""The errors Backstory raises: one root, facts as attributes, a message that ends with what to do."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

__all__ = [
    "AccessDeniedError",
    "BackstoryError",
    "BackupError",
    "ConfigError",
    "ConflictError",
    "EncryptionError",
    "ErasedError",
    "HookCancelledError",
    "HookError",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidPointError",
    "InvalidScopeError",
    "InvalidValueError",
    "MigrationError",
    "NotFoundError",
    "Outcome",
    "ReadOnlyError",
    "SchemaError",
    "StoreClosedError",
    "StoreUnavailableError",
    "StoreVersionError",
    "ValueTooLargeError",
    "shown",
]

Outcome = Literal["not_written", "unknown", "unavailable"]
"""What is known of a write that failed with the store: not made, in doubt, or the store could not be reached at all."""

_SHOWN_CHARACTERS = 80

_E = TypeVar("_E", bound="BackstoryError")


def shown(value: object) -> str:
    """Return `value` as a message quotes it: escaped, and cut to 80 characters so that no message floods a log."""
    text = repr(value) if isinstance(value, str) else _described(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _described(value: object) -> str:
    """Return the text of an object, without trusting that it has one: an int of 5,000 digits has not."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an error message must come out whatever the object does
        return f"a {type(value).__name__}"


def _rebuilt(cls: type[_E], args: tuple[Any, ...], facts: dict[str, Any]) -> _E:
    """Make a pickled error again without its constructor, whose arguments are facts and not the message."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class BackstoryError(Exception):
    """The root of all errors raised by Backstory.

    `message` says what is wrong, `hint` what to do; `str()` is both. Subclasses carry the facts as attributes.
    Errors can be pickled and copied with their facts.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        """Say what is wrong in `message`, and what to do about it in `hint`."""
        self.message = message.rstrip(".")
        self.hint = hint
        super().__init__(f"{self.message}. {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the class, the text and the facts; the constructor is not run again."""
        return _rebuilt, (type(self), self.args, self.__dict__.copy())


class ConflictError(BackstoryError):
    """A write expected another version than the stream or the key has; nothing was written."""

    def __init__(self, *, expected: object, actual: object, stream: str, key: str | None = None) -> None:
        """Take the expected and the actual version of `stream`, or of `key` in it."""
        self.expected = expected
        self.actual = actual
        self.stream = stream
        self.key = key
        where = shown(stream) if key is None else f"key {shown(key)} of {shown(stream)}"
        super().__init__(
            f"{where} is at version {actual}, expected was {expected}",
            hint="Read it again, decide again, and retry with the version you read.",
        )


class InvalidPointError(BackstoryError, ValueError):
    """A point in the log is beyond the head, negative, unknown, a naive datetime, or of a wrong type."""

    def __init__(self, point: object, *, rule: str = "does not exist in this log", hint: str | None = None) -> None:
        """Take the refused point and the rule it breaks, worded to follow "point ..."."""
        self.point = point
        self.rule = rule
        super().__init__(
            f"point {shown(point)} {rule}",
            hint=hint or "Give a position from 0 to the head, an aware datetime, or the id of an event in this log.",
        )


class ReadOnlyError(BackstoryError):
    """Something would have been written to a store, or view, that is open for reading only."""

    def __init__(self, operation: str = "write", *, store: str | None = None, replay: bool = False) -> None:
        """Name the refused operation, and the store where that is known; `replay`: it was one that refused."""
        self.operation = operation
        self.store = store
        if replay:
            super().__init__(
                f"{operation} refused: a replay changes nothing",
                hint="Have the hook answer what is to be written, such as `HookResult.fork`; answers are compared.",
            )
            return
        where = "this store" if store is None else f"the store {shown(store)}"
        super().__init__(
            f"{operation} refused: {where} is read-only", hint="Open the store with read_only=False to write."
        )


class InvalidKeyError(BackstoryError, ValueError):
    """A key, or a prefix or pattern for keys, breaks a rule."""

    def __init__(self, key: object, *, rule: str, hint: str = "Choose another key.") -> None:
        """Take the refused key and the rule it breaks."""
        self.key = key
        self.rule = rule
        super().__init__(f"invalid key {shown(key)}: {rule}", hint=hint)


class InvalidScopeError(BackstoryError, ValueError):
    """A scope, or its text, breaks a rule."""

    def __init__(
        self, scope: object, *, rule: str, hint: str = "Write a scope as `global` or `kind:id`, such as `agent:a1`."
    ) -> None:
        """Take the refused scope, or the id in it, and the rule it breaks."""
        self.scope = scope
        self.rule = rule
        super().__init__(f"invalid scope {shown(scope)}: {rule}", hint=hint)


class InvalidValueError(BackstoryError, ValueError):
    """A value cannot be stored exactly, or is not what the operation needs; nothing was written.

    `path` leads to the culprit inside the value, such as `items[0].price`; it is empty for the value itself.
    """

    def __init__(self, path: str = "", *, rule: str, hint: str = "Convert it to JSON data first.") -> None:
        """Take the path to the culprit and the rule it breaks."""
        self.path = path
        self.rule = rule
        super().__init__(f"invalid value at {path}: {rule}" if path else f"invalid value: {rule}", hint=hint)


class ValueTooLargeError(BackstoryError, ValueError):
    """A value takes more bytes than the limit; nothing was written.

    `size` counts bytes; it is a lower bound where the value was too large even to encode.
    """

    def __init__(self, *, size: int, limit: int, scope: str | None = None, key: str | None = None) -> None:
        """Take the size and the limit in bytes, and where the value was to go."""
        self.size = size
        self.limit = limit
        self.scope = scope
        self.key = key
        where = "" if key is None else f" for key {shown(key)}" + ("" if scope is None else f" of {shown(str(scope))}")
        super().__init__(
            f"the value{where} takes {size} bytes, the limit is {limit}",
            hint="Split it over several keys, store it as an artifact, or raise max_value_bytes.",
        )


class NotFoundError(BackstoryError, LookupError):
    """What was asked for by name does not exist."""

    def __init__(self, what: str, name: object, *, hint: str | None = None) -> None:
        """Take the kind of thing (`what`, such as "branch") and the name that was asked for."""
        self.what = what
        self.name = name
        super().__init__(f"there is no {what} {shown(name)}", hint=hint or "Check the name, or list what there is.")


class HookCancelledError(BackstoryError):
    """A before-hook cancelled the operation; nothing was written but the hooks' own events."""

    def __init__(self, reason: str, *, hook: str) -> None:
        """Take the reason the hook gave, and the hook's name."""
        self.reason = reason
        self.hook = hook
        super().__init__(
            f"hook {shown(hook)} cancelled the operation: {reason}",
            hint="Meet the hook's condition, or unregister the hook.",
        )


class HookError(BackstoryError):
    """A required hook failed, or a retry asked for by a hook gave up; nothing was written."""

    def __init__(
        self, message: str, *, hook: str | None = None, point: str | None = None, hint: str | None = None
    ) -> None:
        """Say what failed; name the hook and its point where they are known."""
        self.hook = hook
        self.point = point
        super().__init__(message, hint=hint or "Repair the hook, or register it without required=True.")


class SchemaError(BackstoryError, ValueError):
    """A schema is wrong, or a value does not meet the schema bound to its key.

    `path` leads to the culprit inside the value, or the declaration; `rule` says what it breaks; `violations` has every
    one of them where a value was refused, and `path` and `rule` are those of the first.
    """

    def __init__(
        self,
        message: str,
        *,
        schema: str | None = None,
        version: str | None = None,
        path: str | None = None,
        rule: str | None = None,
        violations: tuple[Any, ...] = (),
        scope: str | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Say what is wrong; name the schema, its version, the path, the rule, the scope and the key where known."""
        self.schema = schema
        self.version = version
        self.path = path
        self.rule = rule
        self.violations = violations
        self.scope = scope
        self.key = key
        super().__init__(message, hint=hint or "Correct the value, or register a schema version that allows it.")


class MigrationError(BackstoryError):
    """A migration could not be planned, run or rolled back; the state is what it was."""

    def __init__(
        self,
        message: str,
        *,
        scope: str | None = None,
        key: str | None = None,
        path: str | None = None,
        report: object = None,
        hint: str | None = None,
    ) -> None:
        """Say what failed; give the failing key, the path in its value, and the report of the run if there is one."""
        self.scope = scope
        self.key = key
        self.path = path
        self.report = report
        super().__init__(message, hint=hint or "Correct the transform or the value, and run the migration again.")


class BackupError(BackstoryError):
    """A backup could not be made, read or restored; the live state is what it was."""

    def __init__(
        self, message: str, *, backup_id: object = None, path: str | None = None, hint: str | None = None
    ) -> None:
        """Say what failed; name the backup and its file where they are known."""
        self.backup_id = backup_id
        self.path = path
        super().__init__(message, hint=hint or "Mend what is named, or choose another backup.")


class IntegrityError(BackstoryError):
    """Stored data is not what was written: damaged, dropped, reordered or edited."""

    def __init__(
        self, message: str, *, position: int | None = None, kind: str = "damaged", hint: str | None = None
    ) -> None:
        """Say what is wrong; give the position in the log and the kind of damage."""
        self.position = position
        self.kind = kind
        super().__init__(message, hint=hint or "Run `backstory verify`, and restore from a backup that is whole.")


class AccessDeniedError(BackstoryError):
    """The actor holds no grant for this action on this scope; nothing was done."""

    def __init__(self, *, actor: str | None, scope: str, action: str) -> None:
        """Take who wanted to do what where."""
        self.actor = actor
        self.scope = scope
        self.action = action
        who = "an operation without an actor" if actor is None else f"actor {shown(actor)}"
        super().__init__(
            f"{who} may not {action} in {shown(str(scope))}",
            hint=f"Have an administrator grant the action `{action}` there, or act as somebody who holds it.",
        )


class EncryptionError(BackstoryError):
    """Something cannot be encrypted or decrypted: no key, the wrong key, or changed ciphertext."""

    def __init__(self, message: str, *, key_id: str | None = None, hint: str | None = None) -> None:
        """Say what failed; name the key (its id, never the key) where it is known."""
        self.key_id = key_id
        super().__init__(message, hint=hint or "Give the passphrase, key or key file that it was encrypted with.")


class ErasedError(BackstoryError):
    """What was asked for has been erased by destroying its key, and cannot be brought back."""

    def __init__(self, subject: str, *, position: int | None = None, hint: str | None = None) -> None:
        """Name the erased subject or scope, and the position of the event that cannot be read."""
        self.subject = subject
        self.position = position
        where = "" if position is None else f" at position {position}"
        super().__init__(
            f"the data of {shown(str(subject))}{where} has been erased",
            hint=hint or "Nothing can bring it back; treat it as absent.",
        )


class ConfigError(BackstoryError, ValueError):
    """A setting is unknown, malformed, or does not go with the others."""

    def __init__(self, message: str, *, key: str | None = None, hint: str | None = None) -> None:
        """Say what is wrong, and name the setting."""
        self.key = key
        fallback = "Correct the configuration." if key is None else f"Correct the setting `{key}`."
        super().__init__(message, hint=hint or fallback)


class StoreClosedError(BackstoryError):
    """A store, or something that belongs to it, was used after it was closed."""

    def __init__(self, what: str = "store", *, hint: str | None = None) -> None:
        """Name what is closed: the store, a transaction, a subscription."""
        self.what = what
        super().__init__(f"the {what} is closed", hint=hint or f"Open the {what} again, or close it later.")


class StoreUnavailableError(BackstoryError):
    """The store cannot be reached, is locked, or is full. `outcome` says what is known of the write."""

    _HINTS: ClassVar[dict[Outcome, str]] = {
        "not_written": "Nothing was written; retry when the store is back.",
        "unknown": "The write may have been made; retry with the same event ids, which are stored once.",
        "unavailable": "Check that the store's server, file or disk is there, and try again.",
    }

    def __init__(self, message: str, *, outcome: Outcome = "unavailable", hint: str | None = None) -> None:
        """Say what failed, and what is known of the write."""
        self.outcome: Outcome = outcome
        super().__init__(message, hint=hint or self._HINTS[outcome])


class StoreVersionError(BackstoryError):
    """The store has a format that this release of Backstory cannot read."""

    def __init__(self, *, found: object, supported: object) -> None:
        """Take the format found, and the newest (or the range) that this release supports."""
        self.found = found
        self.supported = supported
        super().__init__(
            f"the store has format {found}, this release supports {supported}",
            hint="Install a release of Backstory that supports this format.",
        )
