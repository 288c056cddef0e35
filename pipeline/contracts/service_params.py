"""The sections of params.yaml about the service: deployment, serving, monitoring and tracking."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.contracts.params_section import Section


class DeploymentParams(Section):
    """Checks that a bundle must pass before it becomes the champion."""

    registered_model: str
    n_golden_requests: int = Field(ge=1)
    score_tolerance: float = Field(gt=0)
    load_requests_per_second: float = Field(gt=0)
    load_seconds: float = Field(gt=0)
    ready_timeout_seconds: float = Field(gt=0)


class CanaryParams(Section):
    """Conditions that stop a canary automatically; a running canary keeps its initial settings."""

    minimum_requests: int = Field(ge=1)
    false_stop_probability: float = Field(gt=0, lt=1)
    maximum_slowdown: float = Field(ge=1)


class ServingParams(Section):
    """Settings of the endpoint."""

    host: str
    port: int = Field(ge=1, le=65535)
    event_store: str
    retention_days: int = Field(ge=1)
    default_k: int = Field(ge=1)
    maximum_k: int = Field(ge=1)
    explore_slots: int = Field(ge=0)
    explore_policy: Literal["top", "sampled"]
    explore_temperature: float = Field(gt=0)
    explore_candidates: int = Field(ge=1)
    diversity: float = Field(ge=0, le=1)
    distinct_titles: Literal["off", "newcomers", "all"]
    bought_hours: float = Field(ge=0, le=168)
    maximum_body_kib: int = Field(ge=1)
    timeout_seconds: int = Field(ge=1, le=2)  # BentoML's own timer ends after 3
    cart_hours: float = Field(ge=0)
    viewed_minutes: float = Field(ge=0)
    keep_minutes: float = Field(ge=0, le=60)
    keep_shoppers: int = Field(ge=1)
    keys: str
    audit_log: str
    requests_per_second_per_key: float = Field(ge=0)
    requests_per_second_per_address: float = Field(ge=0)
    cors_origins: list[Annotated[str, Field(pattern=r"^https?://[^/\s*]+$")]]
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]
    storefront: bool
    canary: CanaryParams


class MonitoringParams(Section):
    """The judged traffic, and the thresholds of drift and quality alarms."""

    source: Literal["replay", "event_store"] = "replay"
    replay_days: int = Field(ge=1)
    maximum_requests: int = Field(ge=1)
    horizons_days: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 7, 28), min_length=1, strict=False
    )
    minimum_users: int = Field(30, ge=1)
    maximum_hard_weeks: int = Field(2, ge=0)
    psi_warning: float = Field(gt=0)
    psi_alarm: float = Field(gt=0)
    psi_broken: float = Field(gt=0)
    maximum_unknown_fraction: float = Field(ge=0, le=1)
    maximum_volume_ratio: float = Field(gt=1)
    maximum_failed_fraction: float = Field(ge=0, le=1)
    maximum_event_lag_hours: float = Field(24.0, gt=0)
    maximum_quality_loss_fraction: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int = Field(ge=100)


class TrackingParams(Section):
    """The MLflow store that records runs."""

    uri: str
    artifacts: str
    experiment: str
