"""examples/scaling/keda.yaml without a cluster: the schema of its kind, as KEDA 2 has it, for what we use of it."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from dispatcher.config import Config
from tests.support.sources import ROOT

WRITTEN: dict[str, Any] = YAML(typ="safe").load(ROOT / "examples" / "scaling" / "keda.yaml")


class Known(BaseModel):
    """No other keys: a cluster would refuse them, or drop them without a word."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Target(Known):
    name: str
    kind: str = "Deployment"
    apiVersion: str = "apps/v1"  # noqa: N815  the name is Kubernetes'


class Fallback(Known):
    failureThreshold: int = Field(ge=1)  # noqa: N815  the name is KEDA's
    replicas: int = Field(ge=0)


class Answer(Known):
    """Of a trigger `metrics-api`; every value is a text."""

    url: str
    valueLocation: str  # noqa: N815  the name is KEDA's
    targetValue: str  # noqa: N815  the name is KEDA's


class Trigger(Known):
    type: Literal["metrics-api"]
    metricType: Literal["AverageValue", "Value"] = "AverageValue"  # noqa: N815  the name is KEDA's
    metadata: Answer


class Spec(Known):
    scaleTargetRef: Target  # noqa: N815  the name is KEDA's
    pollingInterval: int = Field(30, ge=1)  # noqa: N815  the name is KEDA's
    cooldownPeriod: int = Field(300, ge=0)  # noqa: N815  the name is KEDA's
    minReplicaCount: int = Field(0, ge=0)  # noqa: N815  the name is KEDA's
    maxReplicaCount: int = Field(100, ge=1)  # noqa: N815  the name is KEDA's
    fallback: Fallback | None = None
    triggers: list[Trigger] = Field(min_length=1)


class Metadata(Known):
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)


class ScaledObject(Known):
    apiVersion: Literal["keda.sh/v1alpha1"]  # noqa: N815  the name is Kubernetes'
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: Spec


def test_it_is_valid_by_the_schema_of_its_kind() -> None:
    spec = ScaledObject.model_validate(WRITTEN).spec
    assert spec.fallback is not None
    assert 1 <= spec.minReplicaCount <= spec.fallback.replicas <= spec.maxReplicaCount
    (trigger,) = spec.triggers
    # A fallback is for AverageValue only. The answer is a number of workers, so each of them is worth one.
    assert (trigger.metricType, trigger.metadata.targetValue) == ("AverageValue", "1")
    assert urlsplit(trigger.metadata.url).path.strip("/") in Config().pool_names()


@pytest.mark.parametrize("broken", [{"maxReplicas": 20}, {"minReplicaCount": "1"}, {"triggers": []}], ids=str)
def test_the_schema_finds_what_is_wrong(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScaledObject.model_validate(WRITTEN | {"spec": WRITTEN["spec"] | broken})
