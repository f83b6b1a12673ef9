"""What a revision reads that is downloaded first: caches, which resources of a namespace share.

A cache's state is in its ConfigMap: what is downloaded and into which claim, the job's progress and
result, and what failed. Whoever uses it looks at it in its own passes and comes to the same steps,
so two at once do no harm. Once it is complete nothing is downloaded again, whatever a branch has
moved on to, unless the claim is another one.

A failure that may mend itself is tried again after growing pauses, a few times. Any other waits
for something else to be asked for: a new revalidate value, another Secret, a larger claim, another
downloader image. What was tried is written down, so that two who ask for different things take
turns once, not for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide.demand import Demand
from ascendllm.decide.download_words import held_up_stage, progress_words
from ascendllm.decide.job_images import download_image
from ascendllm.decide.needs import CachesNeeded, FillingNeeded
from ascendllm.decide.plan import Plan, Ref
from ascendllm.desired import names
from ascendllm.desired.cache import (
    CachedModel,
    cache_claim,
    cache_record,
    cached_models,
)
from ascendllm.desired.downloading import download_access, download_job
from ascendllm.desired.owner import Owner
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings
from ascendllm.state.caches import Attempts, CacheRecord, Filling, filling
from ascendllm.state.observed import Object, Observed
from ascendllm.state.pods import Stage
from ascendllm.state.times import format_time, parse_time

__all__ = ["Download", "downloads", "releases"]

_ATTEMPTS = 5
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=10)
_SOON = timedelta(seconds=1)
_LOOK = timedelta(seconds=10)
_SETTLING = timedelta(seconds=15)
"""A job's result was written before it ended, but perhaps not before it was looked at."""

_FILLED_BY = ("Job", "RoleBinding", "Role", "ServiceAccount")
_REMEDY = (
    "mend the cause, then annotate the resource with a new value of ascendllm.io/revalidate to "
    "have it tried again"
)


@dataclass(frozen=True)
class Download:
    """How far a model, or an adapter of it, is.

    Attributes:
        cached: Which.
        plan: What to do for it.
        stage: What it waits for; None once it is there.
        stalled: Whether somebody must act.
        record: What is known of it; None before anything was made.
    """

    cached: CachedModel
    plan: Plan
    stage: Stage | None = None
    stalled: bool = False
    record: CacheRecord | None = None


def downloads(
    owner: Owner, spec: Spec, observed: Observed, settings: Settings, demand: Demand
) -> tuple[Download, ...]:
    """What the spec wants downloaded, and how far it is.

    Raises:
        CachesNeeded: The caches must be looked at first.
        FillingNeeded: What fills them must be.
    """
    wanted = cached_models(spec)
    used = {name for revision in observed.revisions for name in _read_by(revision.template)}
    if "ConfigMap" not in observed.shared and (wanted or used):
        claims = dict.fromkeys(item.claim for item in wanted if not item.makes_claim)
        raise CachesNeeded(tuple(claims))
    return tuple(_told(_download(owner, spec, item, observed, settings, demand)) for item in wanted)


def releases(owner: Owner, spec: Spec, observed: Observed, plan: Plan) -> Plan:
    """Give up what no revision of ours reads any more.

    Args:
        owner: Who may own it.
        spec: What is wanted.
        observed: What is there.
        plan: Whose deleted revisions are not counted.
    """
    gone = {ref.name for ref in plan.delete if ref.kind == "ControllerRevision"}
    kept = {item.name for item in cached_models(spec)} | {
        name
        for revision in observed.revisions
        if names.child(owner.name, revision.hash) not in gone
        for name in _read_by(revision.template)
    }
    return Plan(
        release=tuple(
            Ref.of(item, kind)
            for kind in ("ConfigMap", "PersistentVolumeClaim")
            for item in observed.shared.get(kind, ())
            if _owns(owner, item) and _cache_of(item) not in kept
        )
    )


def _read_by(template: Mapping[str, Any]) -> list[str]:
    """The caches that a revision's pods read; those of a group read the same."""
    pod = template.get("leader") or template
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(names.CACHES)
    return text.split(",") if isinstance(text, str) else []


def _told(download: Download) -> Download:
    """Of an adapter: with its name in front of what it waits for."""
    name, stage = download.cached.adapter, download.stage
    if name is None or stage is None:
        return download
    return replace(download, stage=Stage(stage.reason, f"adapter {name}: {stage.message}"))


def _download(
    owner: Owner,
    spec: Spec,
    cached: CachedModel,
    observed: Observed,
    settings: Settings,
    demand: Demand,
) -> Download:
    claim = _claim(cached, observed)
    item = observed.find("ConfigMap", cached.name)
    record = CacheRecord.read(item) if item is not None else None
    if spec.suspend and (record is None or not record.complete):
        # No jobs: what is not there yet is not begun.
        return Download(cached, Plan(), Stage("Suspended", "nothing is downloaded"), record=record)
    image = download_image(cached, settings)
    if isinstance(image, SpecError) and record is None:
        # A refused resource gets no claim either.
        return Download(cached, Plan(), Stage(image.reason, image.message), stalled=True)
    plan = Plan()
    if cached.makes_claim:
        plan += Plan(apply=(cache_claim(owner, cached, claim),))
    if claim is None or "deletionTimestamp" in claim["metadata"]:
        return _without_claim(cached, plan, claim, observed)
    uid = claim["metadata"]["uid"]
    if record is not None and (
        record.claim_uid != uid or "deletionTimestamp" in record.item["metadata"]
    ):
        # Another claim of that name: nothing of it is in there.
        plan += Plan(delete=(Ref("ConfigMap", cached.name),), wake_at=observed.now + _SOON)
        return Download(cached, plan, Stage("Downloading", f"claim {cached.claim} is a new one"))
    if record is None:
        plan += Plan(apply=(cache_record(owner, cached, uid, None),), wake_at=observed.now + _SOON)
        return Download(cached, plan, Stage("Downloading", "about to begin"))
    if record.complete:
        return Download(cached, plan + _swept(owner, cached, record, observed), record=record)
    if "Job" not in observed.shared:
        raise FillingNeeded
    job = [settings.image_of("downloader"), settings.downloader_env]
    asked = names.digest([demand.value, _secrets(cached), _capacity(claim), job])
    return _fill(_Fill(owner, spec, cached, record, observed, settings, asked, plan), claim)


@dataclass(frozen=True)
class _Fill:
    """What the next step is made from."""

    owner: Owner
    spec: Spec
    cached: CachedModel
    record: CacheRecord
    observed: Observed
    settings: Settings
    asked: str
    plan: Plan

    @property
    def attempts(self) -> Attempts:
        return self.record.attempts or Attempts()

    def kept(self, attempts: Attempts | None = None) -> Object:
        """The ConfigMap with what was tried."""
        attempts = attempts or self.record.attempts
        return cache_record(
            self.owner,
            self.cached,
            self.record.claim_uid,
            attempts.to_json() if attempts is not None else None,
        )

    def download(
        self,
        stage: Stage,
        more: Plan,
        *,
        stalled: bool = False,
        attempts: Attempts | None = None,
    ) -> Download:
        plan = self.plan + Plan(apply=(self.kept(attempts),)) + more
        return Download(self.cached, plan, stage, stalled, self.record)


def _fill(fill: _Fill, claim: Object) -> Download:
    shared = fill.observed.shared
    job = filling(fill.cached.name, shared.get("Job", ()), shared.get("Pod", ()))
    if job is None:
        return _start(fill)
    access = Plan(
        apply=tuple(download_access(fill.owner.namespace, fill.cached.name, fill.record.item))
    )
    if job.ended:
        return _ended(fill, job)
    if job.held_up is not None and _is_anothers(fill, job):
        # Nothing runs, and something else was asked for since.
        attempts = replace(
            fill.attempts, number=job.attempt, tried=_with(fill.attempts.tried, job.asked)
        )
        more = Plan(delete=(Ref("Job", job.name),), wake_at=fill.observed.now + _SOON)
        return fill.download(Stage("Downloading", "starting anew"), more, attempts=attempts)
    look = Plan(wake_at=fill.observed.now + _LOOK)
    if job.held_up is not None:
        stage, stalled = held_up_stage(fill.cached, job.held_up, claim)
        return fill.download(stage, access + look, stalled=stalled)
    words = progress_words(fill.cached.kind, fill.record.progress, job)
    return fill.download(Stage("Downloading", words), access + look)


def _start(fill: _Fill) -> Download:
    """The next job, unless what was tried says that it would fail as well, or later."""
    image = download_image(fill.cached, fill.settings)
    if isinstance(image, SpecError):
        return fill.download(Stage(image.reason, image.message), Plan(), stalled=True)
    attempts, now = fill.attempts, fill.observed.now
    if attempts.count and fill.asked in attempts.tried:
        told = f"{attempts.message}; tried {attempts.count} times"
        if not attempts.again or attempts.count >= _ATTEMPTS:
            reason = attempts.reason or "DownloadFailed"
            return fill.download(Stage(reason, f"{told}; {_REMEDY}"), Plan(), stalled=True)
        failed_at = parse_time(attempts.failed_at) or now
        pause = min(_FIRST_PAUSE * 2 ** (attempts.count - 1), _LONGEST_PAUSE)
        if now < min(failed_at, now) + pause:
            stage = Stage("Downloading", f"{told}; again at {format_time(failed_at + pause)}")
            return fill.download(stage, Plan(wake_at=failed_at + pause))
    started = download_job(
        fill.owner.namespace,
        fill.cached,
        fill.record.item,
        image=image,
        attempt=attempts.number + 1,
        asked=fill.asked,
        env=fill.settings.downloader_env,
        beside=fill.spec if fill.cached.access_mode == "ReadWriteOnce" else None,
        pull_secrets=fill.spec.runtime.image_pull_secrets or (),
    )
    access = download_access(fill.owner.namespace, fill.cached.name, fill.record.item)
    more = Plan(apply=(*access, started), wake_at=now + _LOOK)
    return fill.download(Stage("Downloading", "starting"), more)


def _ended(fill: _Fill, job: Filling) -> Download:
    """Write down why it failed; the next pass decides on the next one."""
    now, result = fill.observed.now, fill.record.result
    gone = Plan(delete=(Ref("Job", job.name),), wake_at=now + _SOON)
    if fill.attempts.number >= job.attempt:
        # It was written down, and the operator ended before the job was deleted.
        return fill.download(Stage("Downloading", fill.attempts.message), gone)
    told = result.get("attempt") == job.attempt and result.get("result") == "Failed"
    if not told and now < job.ended_at + _SETTLING:
        look = Plan(wake_at=now + _SETTLING)
        return fill.download(Stage("Downloading", "the job has ended"), look)
    before = fill.attempts
    attempts = Attempts(
        count=before.count + 1 if job.asked in before.tried else 1,
        number=job.attempt,
        failed_at=format_time(now),
        reason=str(result.get("reason") or "DownloadFailed") if told else "DownloadFailed",
        message=str(result.get("message") or "")[:900] if told else _unexplained(job),
        again=result.get("again") is True if told else True,
        tried=_with(before.tried, job.asked),
    )
    return fill.download(Stage("Downloading", attempts.message), gone, attempts=attempts)


def _unexplained(job: Filling) -> str:
    return f"job {job.name} ended without a result: {job.failure or 'its log may tell why'}"


def _without_claim(
    cached: CachedModel, plan: Plan, claim: Object | None, observed: Observed
) -> Download:
    later = replace(plan, wake_at=observed.now + (_SOON if cached.makes_claim else 3 * _LOOK))
    if claim is not None:
        stage = Stage("Downloading", f"claim {cached.claim} is being deleted: waiting for its end")
        return Download(cached, Plan(wake_at=observed.now + _LOOK), stage)
    if cached.makes_claim:
        return Download(cached, later, Stage("Downloading", f"making claim {cached.claim}"))
    stage = Stage(
        "ClaimMissing",
        f"{cached.field}.cache.claimName {cached.claim}: there is no such PersistentVolumeClaim in "
        "the namespace: make it, or give cache.size to have one made",
    )
    return Download(cached, later, stage, stalled=True)


def _is_anothers(fill: _Fill, job: Filling) -> bool:
    return job.asked != fill.asked and fill.asked not in fill.attempts.tried


def _swept(owner: Owner, cached: CachedModel, record: CacheRecord, observed: Observed) -> Plan:
    """The ConfigMap of a complete cache; what filled it goes, and then that is written down."""
    attempts = record.attempts.to_json() if record.attempts is not None else None
    kept = cache_record(owner, cached, record.claim_uid, attempts, swept=record.swept)
    if record.swept:
        return Plan(apply=(kept,))
    if "Job" not in observed.shared:
        raise FillingNeeded
    left = tuple(
        Ref.of(item, kind)
        for kind in _FILLED_BY
        for item in observed.shared.get(kind, ())
        if _cache_of(item) == cached.name
    )
    if left:
        return Plan(apply=(kept,), delete=left, wake_at=observed.now + _LOOK)
    return Plan(apply=(cache_record(owner, cached, record.claim_uid, attempts, swept=True),))


def _claim(cached: CachedModel, observed: Observed) -> Object | None:
    if cached.makes_claim:
        return observed.find("PersistentVolumeClaim", cached.claim)
    return observed.claims.get(cached.claim)


def _secrets(cached: CachedModel) -> list[str]:
    source = cached.source
    tokens = [
        hub.token_secret
        for hub in (source.hugging_face, source.model_scope)
        if hub is not None and hub.token_secret is not None
    ]
    if source.s3 is not None and source.s3.credentials_secret is not None:
        return [source.s3.credentials_secret.name]
    return [f"{token.name}/{token.key}" for token in tokens]


def _capacity(claim: Object) -> str:
    return str(((claim.get("status") or {}).get("capacity") or {}).get("storage") or "")


def _cache_of(item: Object) -> str | None:
    value = (item["metadata"].get("labels") or {}).get(names.CACHE)
    return value if isinstance(value, str) else None


def _owns(owner: Owner, item: Object) -> bool:
    references = item["metadata"].get("ownerReferences") or []
    return any(reference.get("uid") == owner.uid for reference in references)


def _with(tried: Sequence[str], asked: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*tried, asked)))
