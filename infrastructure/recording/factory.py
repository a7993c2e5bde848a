"""The factory that `PERSISTENCE_MODULE` finds: from an application's environment to recorders on a log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

from eventsourcing.domain import TAggregateID
from eventsourcing.persistence import InfrastructureFactory, Mapper, Transcoder
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from backstory.domain.ports import Engine
from backstory.infrastructure.configuration import PREFIX, Settings, settings_of
from backstory.infrastructure.recording.log import Log, translated
from backstory.infrastructure.recording.mapper import LoadedMapper
from backstory.infrastructure.recording.recorders import (
    EVENTS,
    IdType,
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogRecorder,
    LogTrackingRecorder,
)

R = TypeVar("R", bound=LogRecorder)

STORE = f"{PREFIX}STORE"
ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"
CREATE_TABLE = "CREATE_TABLE"


class LogFactory(InfrastructureFactory[LogTrackingRecorder]):
    """Opens a log and makes recorders on it. Its subclasses know one engine each."""

    aggregate_recorder_class: ClassVar[type[LogAggregateRecorder]] = LogAggregateRecorder
    application_recorder_class: ClassVar[type[LogApplicationRecorder]] = LogApplicationRecorder
    tracking_recorder_class: ClassVar[type[LogTrackingRecorder]] = LogTrackingRecorder
    process_recorder_class: ClassVar[type[LogProcessRecorder]] = LogProcessRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self._id_type = self._find_id_type()
        with translated():
            settings = settings_of(None, self.given_settings(), environment=self._environment())
            engine = self.open_engine(settings, create=strtobool(self.env.get(CREATE_TABLE) or "yes"))
        self.log = Log(engine, max_value_bytes=settings.max_value_bytes)

    @abstractmethod
    def open_engine(self, settings: Settings, *, create: bool) -> Engine:
        """Return the engine that the environment names; raises `OSError` where it names none."""

    def given_settings(self) -> Mapping[str, Any]:
        """Return the settings that the stock module's own variables stand for."""
        return {}

    def number(self, variable: str) -> int | None:
        """Return a variable's whole number, None where it is not set; raises `OSError` for anything else."""
        text = (self.env.get(variable) or "").strip()
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise OSError(f"the environment's {variable} is {text!r}; set a whole number, or nothing") from None

    def _environment(self) -> dict[str, str]:
        """Return Backstory's own variables, those with the application's name in front first."""
        names = [PREFIX + field.name.upper() for field in fields(Settings)]
        found = {name: self.env.get(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _find_id_type(self) -> IdType:
        found = self.env.get(ORIGINATOR_ID_TYPE, "text").lower()
        if found == "text":
            return "text"
        if found == "uuid":
            return "uuid"
        raise OSError(f"the environment's {ORIGINATOR_ID_TYPE} is {found!r}; set text or uuid")

    # Recorders

    def _make(self, default: type[R], variable: str | None = None, *, purpose: str = EVENTS) -> R:
        topic = self.env.get(variable) if variable else None
        cls = resolve_topic(topic) if topic else default
        assert issubclass(cls, default), cls
        recorder: R = cls(self.log, name=self.env.name, purpose=purpose, id_type=self._id_type)
        return recorder

    def aggregate_recorder(self, purpose: str = EVENTS) -> LogAggregateRecorder:
        """Return a recorder of aggregates' events, or of their snapshots and the like."""
        return self._make(self.aggregate_recorder_class, purpose=purpose)

    def application_recorder(self) -> LogApplicationRecorder:
        """Return the recorder of an application's sequence."""
        return self._make(self.application_recorder_class, self.APPLICATION_RECORDER_TOPIC)

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """Return the recorder of a projection, of the class given or named in the environment."""
        if tracking_recorder_class is not None:
            return self._make(tracking_recorder_class)
        return self._make(self.tracking_recorder_class, self.TRACKING_RECORDER_TOPIC)

    def process_recorder(self) -> LogProcessRecorder:
        """Return the recorder of an application that follows another."""
        return self._make(self.process_recorder_class, self.PROCESS_RECORDER_TOPIC)

    def mapper(
        self,
        transcoder: Transcoder | None = None,
        mapper_class: type[Mapper[TAggregateID]] | None = None,
    ) -> Mapper[TAggregateID]:
        """Return a mapper; unless told otherwise one that resolves the topics of imported classes only."""
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = LoadedMapper[TAggregateID]
        return super().mapper(transcoder, mapper_class)

    def close(self) -> None:
        """Close the log."""
        self.log.close()
