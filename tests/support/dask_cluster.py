"""A real Dask cluster on loopback: a scheduler and workers as processes, over mutual TLS."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import trustme
from distributed import Client
from distributed.security import Security

HOST = "127.0.0.1"
START_SECONDS = 120


class Authority:
    """An authority of its own, and certificates that it has signed.

    Args:
        folder: where the PEM files go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.path)

    def issue(self, name: str) -> dict[str, Path]:
        """A certificate for loopback, as settings name it."""
        issued = self._authority.issue_cert(HOST, "localhost", common_name=name)
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.pem"
        issued.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return {"dask_authority": self.path, "dask_certificate": certificate, "dask_key": key}


class DaskCluster:
    """A scheduler and two workers over one data folder; each can be killed and started again.

    Args:
        data: the folder that the workers read gradients from.
        certificates: where to make them.
        storage: settings that say where gradients are, if not in the folder.
    """

    def __init__(self, data: Path, certificates: Path, **storage: str) -> None:
        self.data = data
        self._storage = storage
        self.authority = Authority(certificates)
        self.certificates = self.authority.issue("cluster")
        self._log = certificates / "cluster.log"
        self.address = f"tls://{HOST}:{_free_port()}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("scheduler", "worker-0", "worker-1"):
            self.start(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._processes:
            self.kill(name)

    @property
    def settings(self) -> dict[str, Any]:
        """What a worker of ours needs to compute here."""
        return {"executor": "dask", "dask_scheduler": self.address, **self.certificates}

    @property
    def environment(self) -> dict[str, str]:
        """The same, for a process."""
        return {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in self.settings.items()}

    def start(self, name: str) -> None:
        """Start `scheduler`, `worker-0` or `worker-1`."""
        self._processes[name] = self.spawn(name, self.certificates)

    def spawn(self, name: str, certificates: Mapping[str, Path]) -> subprocess.Popen[bytes]:
        """A process of the cluster, with these certificates."""
        settings = {
            **{key: str(path) for key, path in certificates.items()},
            "data": str(self.data),
            "worker_threads": "1",
            "worker_memory_bytes": str(1 << 30),
            **self._storage,
        }
        if name == "scheduler":
            options = ["scheduler", "--port", self.address.rsplit(":", 1)[1]]
        else:
            options = ["worker", "--scheduler", self.address]
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "sparsegrad_server", "cluster", *options, "--host", HOST],
                env=os.environ
                | {f"SPARSEGRAD_{key.upper()}": value for key, value in settings.items()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End it, and what it started, in the middle of whatever it does (SIGKILL)."""
        self.end(self._processes[name])

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Kill it and start another one."""
        self.kill(name)
        self.start(name)

    def restart_scheduler(self) -> None:
        """Kill the scheduler; start it, and the workers that end with it, anew."""
        self.restart("scheduler")
        for name in ("worker-0", "worker-1"):
            self._processes[name].wait(START_SECONDS)
            self.start(name)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client that sees both workers."""
        security = Security(
            tls_ca_file=str(self.certificates["dask_authority"]),
            tls_client_cert=str(self.certificates["dask_certificate"]),
            tls_client_key=str(self.certificates["dask_key"]),
            require_encryption=True,
        )
        with Client(
            self.address, security=security, timeout=START_SECONDS, set_as_default=False
        ) as client:
            yield client

    def wait_for_workers(self) -> None:
        """Return once both workers are there."""
        dead = [name for name, process in self._processes.items() if process.poll() is not None]
        assert not dead, f"{dead}: {self._log.read_text()[-3000:]}"
        with self.client() as client:
            client.wait_for_workers(2, timeout=START_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
