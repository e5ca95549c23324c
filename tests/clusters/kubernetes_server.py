"""As much of Kubernetes and its Dask operator as a client sees: an API on loopback whose pods are processes here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

_DASK = "/apis/kubernetes.dask.org/v1/namespaces/science/"
_CORE = "/api/v1/namespaces/science/"
_GRACE = 10.0  # seconds
_POD = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_POD]},
    "/apis": {"kind": "APIGroupList", "groups": []},
}


@dataclass
class Kubernetes:
    """What clients asked for, and the processes that stand for pods."""

    starts_pods: bool = True  # False: a cluster in which no node takes them
    refuses_deletion: bool = False
    created: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    alive: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = field(default_factory=lambda: _free_port())
    dashboard_port: int = field(default_factory=lambda: _free_port())

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        manifest["metadata"] |= {"namespace": "science", "uid": name, "resourceVersion": "1"}
        self.created.append(json.loads(json.dumps(manifest)))
        self.alive[name] = manifest | {"status": {"phase": "Running"}}
        if self.starts_pods:
            spec = manifest["spec"]
            ports = ("--port", str(self.port), "--dashboard-address", f"127.0.0.1:{self.dashboard_port}")
            self._start(spec["scheduler"]["spec"], {}, ports)
            for number in range(spec["worker"]["replicas"]):
                names = {
                    "DASK_WORKER_NAME": f"{name}-worker-{number}",
                    "DASK_SCHEDULER_ADDRESS": f"tcp://127.0.0.1:{self.port}",
                }
                self._start(spec["worker"]["spec"], names, ("--dashboard-address", "127.0.0.1:0"))
        return self.alive[name]

    def _start(self, pod: dict[str, Any], given: dict[str, str], more: tuple[str, ...]) -> None:
        """Run the container's own command in its own environment, on loopback and on ports that are free."""
        (container,) = pod["containers"]
        variables = given | {one["name"]: one["value"] for one in container["env"]}
        arguments = container["args"]
        for name, value in variables.items():
            arguments = [argument.replace(f"$({name})", value) for argument in arguments]
        command = [sys.executable, "-m", *arguments, "--host", "127.0.0.1", *more]
        environment = os.environ | variables
        self.processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
        )

    def delete(self, name: str) -> dict[str, Any]:
        self.deleted.append(name)
        self.end()
        return self.alive.pop(name)

    def end(self) -> None:
        """End workers before their scheduler, and whatever is left after a time of grace, as kubelets do."""
        while self.processes:
            process = self.processes.pop()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def pods(self) -> list[dict[str, Any]]:
        """Return the scheduler's pod once it runs, ready when its probe says so."""
        if not self.processes:
            return []
        ready = "False"
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.dashboard_port}/health", timeout=5):
            ready = "True"
        conditions = [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")]
        metadata = {"name": "scheduler", "namespace": "science", "uid": "pod", "resourceVersion": "1"}
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": []}
        return [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}]

    def services(self) -> list[dict[str, Any]]:
        return [self._service(manifest) for manifest in self.alive.values()]

    def _service(self, manifest: dict[str, Any]) -> dict[str, Any]:
        asked = manifest["spec"]["scheduler"]["service"]
        numbers = {"tcp-comm": self.port, "http-dashboard": self.dashboard_port}
        ports = [port | {"port": numbers[port["name"]]} for port in asked["ports"]]
        name = f"{manifest['metadata']['name']}-scheduler"
        metadata = {"name": name, "namespace": "science", "uid": name, "resourceVersion": "1"}
        status = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
        spec = asked | {"ports": ports}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": status}


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Handler(BaseHTTPRequestHandler):
    state: Kubernetes

    def do_GET(self) -> None:
        url = urlsplit(self.path.rstrip("/"))
        lists = {
            _DASK + "daskclusters": list(self.state.alive.values()),
            _DASK + "daskworkergroups": [],
            _CORE + "services": self.state.services(),
            _CORE + "pods": self.state.pods(),
        }
        place, _, name = url.path.rpartition("/")
        if url.path in _DISCOVERY:
            self._answer(_DISCOVERY[url.path])
        elif url.path in lists:
            self._answer({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": _selected(lists[url.path], url)})
        else:
            found = [one for one in lists.get(place, []) if one["metadata"]["name"] == name]
            self._answer(found[0]) if found else self._refuse(404, f"{self.path} not found")

    def do_POST(self) -> None:
        manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.state.create(manifest), 201)

    def do_DELETE(self) -> None:
        if self.state.refuses_deletion:
            self._refuse(403, "daskclusters is forbidden")
        else:
            self._answer(self.state.delete(self.path.rpartition("/")[2]))

    def _refuse(self, code: int, message: str) -> None:
        self._answer({"kind": "Status", "message": message, "code": code}, code)

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def _selected(items: list[dict[str, Any]], url: Any) -> list[dict[str, Any]]:
    (selector,) = parse_qs(url.query).get("fieldSelector", [""])
    names = {text.removeprefix("metadata.name=") for text in selector.split(",") if text.startswith("metadata.name=")}
    return [one for one in items if not names or one["metadata"]["name"] in names]


@contextmanager
def kubernetes_server(folder: Path, starts_pods: bool = True) -> Iterator[tuple[Kubernetes, Path]]:
    """Give the state of a server, and the kubeconfig that leads to it."""
    state = Kubernetes(starts_pods)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state, kubeconfig(folder, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        state.end()


def kubeconfig(folder: Path, port: int) -> Path:
    """Return a file that says where the API is, written to the folder."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "science"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path
