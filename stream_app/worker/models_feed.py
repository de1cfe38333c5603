"""Follows the compacted models topic: verifies, rebuilds, compiles and hands over each model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flowlib.density import Density
from schemas.intake import Refusal
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.kafka.types import ConsumerRecord
from stream_app.models.keys import Trust
from stream_app.models.loading import artifact_of, check_stream, scored_by, verified
from stream_app.models.sequence import Notices
from stream_app.stages.points import model_point
from stream_app.worker.feeds import Feed, OnRefused
from stream_app.worker.reports import Reports

OnNotice = Callable[[ModelNotice, Density | None], Awaitable[None]]


class ModelsFeed(Feed):
    """Reads the models topic from its beginning, outside any consumer group: every worker wants every model.

    Args:
        config: the stream.
        on_notice: awaited for each notice that is genuine and news, with its model (None for a refused candidate).
        on_refused, beat: see :class:`~stream_app.worker.feeds.Feed`.

    Attributes:
        unusable: why the newest promoted model cannot be taken, where it cannot: an older one stays in service.
    """

    def __init__(
        self, config: Config, on_notice: OnNotice, on_refused: OnRefused, beat: Callable[[], None] = lambda: None
    ) -> None:
        reports = Reports(config, "models", "Model notice", "The model in service stays.")
        super().__init__(config, config.topics.models, Trust.of_models(config), reports, on_refused, beat)
        self._on_notice, self._notices = on_notice, Notices(config.stream)
        self.unusable = ""

    async def _taken(self, record: ConsumerRecord) -> Refusal | None:
        notice = self._notices.take(record.value, record.headers, self._trusted())
        if isinstance(notice, ModelNotice) and not self._notices.knows(notice):
            notice = await self._hand_over(notice)
        return None if isinstance(notice, ModelNotice) else notice

    async def _hand_over(self, notice: ModelNotice) -> ModelNotice | Refusal:
        try:
            density = await self._density(notice) if notice.status == "promoted" else None
            model_point(notice)
        except Exception as error:  # signed or not: no notice stops a worker
            what = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            return self._refused(notice, f"model {notice.model_id}: {what}")
        if density is not None and self._notices.is_newest(notice):
            self.unusable = ""
        await self._on_notice(notice, density)
        self._notices.enter(notice)
        return notice

    def _refused(self, notice: ModelNotice, why: str) -> Refusal:
        if notice.status == "promoted" and self._notices.is_newest(notice):
            self.unusable = f"the newest model cannot be used, so that a former one stays in service, or none: {why}"
        return Refusal("not_accepted", "", why)

    async def _density(self, notice: ModelNotice) -> Density:
        density = await asyncio.to_thread(verified, artifact_of(notice), self._keys)
        check_stream(density, self._config)
        return await asyncio.to_thread(scored_by, self._config, density)
