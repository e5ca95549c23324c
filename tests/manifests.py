"""Schemas of Kubernetes' own objects and of the Dask operator's, made strict: an unknown key is an error."""

from __future__ import annotations

import re
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


def kubernetes_errors(document: Any, kind: str) -> list[str]:
    """Return what is wrong with an object of Kubernetes' own, such as V1Job, by the models of its Python client."""
    try:
        _check(document, kind, kind)
    except ValueError as error:
        return [str(error)]
    return []


def _check(value: Any, kind: str, path: str) -> Any:
    """Return the model of a value; raise ValueError for unknown keys, wrong types and what the model refuses."""
    outer = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.*)[\])]", kind, re.IGNORECASE)  # as in Dict[str, V1Pod]
    if outer and outer[1].lower() == "list":
        return [_check(one, outer[2], f"{path}[{place}]") for place, one in enumerate(_typed(value, list, path))]
    if outer:
        return {name: _check(one, outer[2], f"{path}.{name}") for name, one in _typed(value, dict, path).items()}
    if kind in _SCALARS:
        return _typed(value, _SCALARS[kind], path)
    return _model(_typed(value, dict, path), kind, path)


_SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": (str, int), "datetime": str}


def _typed(value: Any, kind: Any, path: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{path}: {value!r} is not of type {kind}")
    return value


def _model(value: dict[str, Any], kind: str, path: str) -> Any:
    from kubernetes import client

    model = getattr(client, kind)
    fields = {key: field for field, key in model.attribute_map.items()}
    if unknown := value.keys() - fields.keys():
        raise ValueError(f"{path}: unknown {sorted(unknown)}")
    types = {key: model.openapi_types[field] for key, field in fields.items()}
    try:
        return model(**{fields[key]: _check(one, types[key], f"{path}.{key}") for key, one in value.items()})
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(path) else f"{path}: {error}") from None
