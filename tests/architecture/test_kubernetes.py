"""The manifests of examples/kubernetes without a cluster: the schema of their kinds, and what each must and must not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from kubernetes_validate import ValidationError, validate
from ruamel.yaml import YAML

from dispatcher import config
from dispatcher.cli.app import app
from tests.support.compose import OWN_IMAGE
from tests.support.sources import ROOT

FOLDER = ROOT / "examples" / "kubernetes"
OLDEST = "1.31"


def written(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path))


MANIFESTS = [one for path in sorted(FOLDER.glob("*.yaml")) for one in written(path) if one["kind"] != "Kustomization"]
WORKLOADS = [one for one in MANIFESTS if one["kind"] in ("Deployment", "StatefulSet")]


def name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=name)


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (one,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


def ours() -> Iterator[dict[str, Any]]:
    return (one for one in WORKLOADS if container(one)["image"] == OWN_IMAGE)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_it_is_valid_by_the_schema_of_its_kind(manifest: dict[str, Any]) -> None:
    assert validate(manifest, OLDEST, strict=True)


def test_the_schema_finds_what_is_wrong() -> None:
    broken = WORKLOADS[0] | {"spec": WORKLOADS[0]["spec"] | {"replica": 2}}
    with pytest.raises(ValidationError):
        validate(broken, OLDEST, strict=True)


def test_all_of_it_is_applied() -> None:
    (kustomization,) = written(FOLDER / "kustomization.yaml")
    assert {*kustomization["resources"], "kustomization.yaml"} == {path.name for path in FOLDER.glob("*.yaml")}
    assert [name(one) for one in ours()] == ["Deployment-wake-agents", "Deployment-wake-router"]


@each_workload
def test_it_has_no_rights_that_it_does_not_need(workload: dict[str, Any]) -> None:
    pod, one = workload["spec"]["template"]["spec"], container(workload)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    own = one["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}


@each_workload
def test_its_pods_are_the_ones_that_are_selected_and_probed(workload: dict[str, Any]) -> None:
    spec = workload["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert {"startupProbe", "readinessProbe"} <= set(container(workload))
    assert not [entry for entry in container(workload)["env"] if "PASSWORD" in entry["name"] and "value" in entry], (
        "it comes from the Secret"
    )


@pytest.mark.parametrize("workload", list(ours()), ids=name)
def test_what_runs_has_time_to_end(workload: dict[str, Any], tmp_path: Path) -> None:
    (map_,) = (one for one in MANIFESTS if one["kind"] == "ConfigMap")
    (tmp_path / "wake.toml").write_text(map_["data"]["wake.toml"], "utf-8")
    loaded = config.load(tmp_path / "wake.toml", {})
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= loaded.lease.grace_ms / 1000 + 10
    runner = loaded.agent("main").runner
    assert runner is not None
    assert getattr(runner, "command", [])[0].removeprefix("./") in map_["data"]
    args = container(workload)["args"]
    assert "--route" in args or args[args.index("--pool") + 1] in loaded.pool_names()


@pytest.mark.parametrize("workload", list(ours()), ids=name)
def test_its_commands_are_ours(workload: dict[str, Any]) -> None:
    """Its arguments and its probes as `wake` reads them: options that do not exist would only be noticed in a cluster."""
    one = container(workload)
    asked = [one[probe]["exec"]["command"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    group = typer.main.get_group(app)
    for words in (["wake", *one["args"]], *asked):
        assert words[0] == "wake"
        command = group.commands[words[1]]
        command.make_context(words[1], list(words[2:]))
    assert "--live" in asked[1], "a server that is away is no reason to start everything anew"
    assert "--ready" in asked[2]
