"""Do the settings name the images of the jobs that a resource needs?

Only a job that is still to be created needs its image. A new or changed resource is therefore
refused before a pod takes an NPU. A revision that an older operator downloaded and proved needs no
job: it keeps running, keeps its proof and stays Ready under an operator whose settings name no
image. If it is checked again, by an annotation, by its schedule or because a check changed, it is
refused as well, and keeps its traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ascendllm.api.spec import Spec
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.desired.cache import CachedModel
from ascendllm.exceptions import SpecError
from ascendllm.settings import JobImage, Settings
from ascendllm.state.observed import Observed

__all__ = [
    "IMAGE_NOT_CONFIGURED",
    "check_image",
    "check_image_missing",
    "download_image",
    "hold_checks",
]

IMAGE_NOT_CONFIGURED = "ImageNotConfigured"


def check_image(check: str) -> JobImage:
    """The image that a check's job runs: lm-eval is in one of its own."""
    return "evals" if check == "evals" else "validator"


def check_image_missing(
    spec: Spec, states: Sequence[CheckState], observed: Observed, settings: Settings
) -> SpecError | None:
    """The first check that needs a job whose image is not configured."""
    if spec.wanted == 0:
        # No pod is wanted, so no job is created: replicas may be raised again before one is.
        return None
    for state in states:
        image = check_image(state.check)
        if settings.image_of(image) is None and _needs_job(state, observed):
            return _not_configured(f"spec.validation.{state.check}", image)
    return None


def download_image(cached: CachedModel, settings: Settings) -> str | SpecError:
    """The image of the job that downloads a model or an adapter, or why there is none."""
    image = settings.image_of("downloader")
    if image is not None:
        return image
    (source,) = cached.described
    return _not_configured(f"{cached.field}.source.{source}", "downloader")


def hold_checks(states: Sequence[CheckState], observed: Observed) -> tuple[CheckState, ...]:
    """The checks with every job that would have to be created put off; running jobs go on."""
    return tuple(
        replace(state, standing=Standing.PENDING) if _needs_job(state, observed) else state
        for state in states
    )


def _needs_job(state: CheckState, observed: Observed) -> bool:
    """Whether a job is still to be created for the check, now or later."""
    if state.standing is Standing.RUNNING and state.unfinished is not None:
        return observed.find("Job", state.unfinished.name) is None
    return state.under_way


def _not_configured(field: str, image: JobImage) -> SpecError:
    return SpecError(
        IMAGE_NOT_CONFIGURED,
        f"{field} needs a job with the operator's {image} image, but neither {image}Image nor "
        "imageRepository is set in ConfigMap ascendllm-operator: have the operator's owner set "
        "imageRepository to the registry path of the project's images, or "
        f"{image}Image to that one image",
    )
