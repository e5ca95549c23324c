"""Schemas of Kubernetes' own objects and of the Dask operator's, made strict: an unknown key is an error."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jsonschema
import yaml

_CRDS = "operator/deployment/helm/dask-kubernetes-operator/crds"


def dask_schema(kind: str) -> dict[str, Any]:
    """Return the strict schema of a DaskCluster or DaskJob, from the package dask-kubernetes."""
    crd = yaml.safe_load((files("dask_kubernetes") / _CRDS / f"{kind.lower()}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    return strict(version["schema"]["openAPIV3Schema"] | {"properties": _whole(version)})


def _whole(version: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of the object, with those that every object of Kubernetes has."""
    names = {"name": {"type": "string"}, "namespace": {"type": "string"}}
    metadata = {"type": "object", "properties": names, "required": ["name"]}
    texts = {"apiVersion": {"const": "kubernetes.dask.org/v1"}, "kind": {"type": "string"}}
    return {**version["schema"]["openAPIV3Schema"]["properties"], **texts, "metadata": metadata}


def strict(schema: Any) -> Any:
    """Return the schema with no keys allowed beside those that it names, at every depth."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(part) for name, part in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return closed | {"additionalProperties": False} if named else closed


def errors(manifest: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return what is wrong with a manifest, a line for each."""
    return [f"{one.json_path}: {one.message}" for one in jsonschema.Draft7Validator(schema).iter_errors(manifest)]
