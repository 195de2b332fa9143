"""Uploads against the disk: how close ingest comes to one sequential file, and what it costs.

In each round the same bytes go to the same disk four times: written and fsynced as one file; sent
as gradients by several clients, each a process with one connection, to a real server, while a
further process asks for `/livez`; and sent by the same clients to `bare_server`, which does no more
than any server must, once with and once without taking digests. Bodies and digests are made before
the clock starts; the `socket` client then does nothing but send them, the `library` client is
`BasisService`, digests included.

    python benchmarks/ingest.py [--quick] [--megabytes 2000] [--clients 16] [--rounds 3]
                                [--kinds float32 bfloat16] [--client socket | library]
                                [--worker] [--folder DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
from senders import DISTINCT, Load, Target, frames, send_by_library, send_by_socket

from sparsegrad_shared.framing import DType

MB = 10**6
PIECE = 1 << 20  # bytes of one write
BARE_SERVER = Path(__file__).with_name("bare_server.py")
LIVEZ_SECONDS = 0.05  # between two looks
KINDS: dict[str, tuple[int, int, DType]] = {
    "float32": (3072, 768, "float32"),  # BERT-base
    "bfloat16": (3072, 768, "bfloat16"),
    "small": (1536, 384, "float32"),  # MiniLM
}
Client = subprocess.Popen[str]
QUICK = {kind: (d_out // 8, d_in // 8, dtype) for kind, (d_out, d_in, dtype) in KINDS.items()}


def run_client(task: dict[str, Any]) -> None:
    """A client process: says when it is ready, starts when told to, says when it is done."""
    load, target = Load(**task["load"]), Target(**task["target"])
    sending = {"socket": send_by_socket, "library": send_by_library}[load.client](load, target)
    next(sending)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in sending:
        pass
    print("done", flush=True)
    sys.stdin.read()  # until killed: an interpreter that ends takes time from those still sending


def watch_livez(url: str) -> None:
    """Ask for /livez until standard input ends; prints the seconds that each answer took."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    taken = []
    with httpx.Client(base_url=url, timeout=60) as client:
        client.get("/livez").raise_for_status()
        while not taken or not ended.wait(LIVEZ_SECONDS):
            start = time.perf_counter()
            client.get("/livez").raise_for_status()
            taken.append(time.perf_counter() - start)
    print(json.dumps(taken))


@contextmanager
def own_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This program in another process, spoken to through its standard input and output."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def server(data: Path, *, worker: bool) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server over a new folder: its process, address and token."""
    command = [sys.executable, "-m", "sparsegrad_server", "serve", "--embedded", "--port", "0"]
    command += ["--data", str(data)] + ([] if worker else ["--no-worker"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield process, said["url"], Path(said["token_file"]).read_text().strip()
        process.stdin.close()


def open_calibration(url: str, token: str, load: Load) -> str:
    """A calibration with a slot for each gradient."""
    manifest = {
        "name": "benchmark/ingest",
        "model": {"id": "none", "architecture": "None"},
        "dataset": {"id": "none", "fingerprint": "none"},
        "groups": [
            {
                "name": "up",
                "layers": ["up"],
                "d_out": load.d_out,
                "d_in": load.d_in,
                "dtype": load.dtype,
                "gradients": load.sent,
            }
        ],
    }
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{url}/v1/calibrations", json=manifest, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["id"])


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def clients(load: Load, url: str, token: str, calibration: str) -> Iterator[list[Client]]:
    """The clients' processes, ready to send."""
    with ExitStack() as stack:
        processes = []
        for number in range(load.clients):
            target = Target(url, token, calibration, number * load.count)
            task = json.dumps({"load": asdict(load), "target": asdict(target)})
            processes.append(stack.enter_context(own_process("--send", task)))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes


def send_all(processes: list[Client]) -> float:
    """Have them send; the seconds until the last one is done."""
    start = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    return time.perf_counter() - start


def upload(load: Load, folder: Path, *, worker: bool) -> dict[str, Any]:
    """One run of the load against a fresh server."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        process, url, token = stack.enter_context(server(data, worker=worker))
        calibration = open_calibration(url, token, load)
        processes = stack.enter_context(clients(load, url, token, calibration))
        watcher = stack.enter_context(own_process("--watch", url))
        time.sleep(0.5)  # its first look
        before = cpu_seconds(process.pid)
        seconds = send_all(processes)
        server_cpu = cpu_seconds(process.pid) - before
        livez = sorted(json.loads(watcher.communicate()[0]))
        return {
            "seconds": seconds,
            "server_cpu_seconds": server_cpu,
            "peak_bytes": peak_bytes(process.pid),
            "livez_p50": livez[len(livez) // 2],
            "livez_p99": livez[int(len(livez) * 0.99)],
            "livez_max": livez[-1],
        }


def upload_bare(load: Load, folder: Path, *options: str) -> float:
    """Seconds of the same load against a server that does no more than any must."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        command = [sys.executable, str(BARE_SERVER), str(data / "kept"), *options]
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert process.stdin is not None
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        seconds = send_all(stack.enter_context(clients(load, url, "none", "none")))
        process.stdin.close()
        return seconds


def sequential(load: Load, folder: Path) -> float:
    """Seconds to write and fsync as many bytes of the same content as one file."""
    body = memoryview(b"".join(piece for frame in frames(load) for piece in frame))
    left = load.sent * (len(body) // DISTINCT)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        start = time.perf_counter()
        position = 0
        while left:
            piece = body[position : position + min(PIECE, left)]
            left -= file.write(piece)
            position = (position + len(piece)) % len(body)
        os.fsync(file.fileno())
        return time.perf_counter() - start


def hashing() -> float:
    """Seconds that SHA-256 takes for a byte, on one core that does nothing else."""
    body = bytes(64 * MB)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        hashlib.sha256(body)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) / len(body)


def measure(kind: str, load: Load, folder: Path, rounds: int, *, worker: bool) -> dict[str, Any]:
    """Disk and load in turns; medians over the rounds."""
    size = frames(load)[0].size * load.sent
    by_socket = replace(load, client="socket")
    disk, runs, bare, unhashed = [], [], [], []
    for _ in range(rounds):
        disk.append(sequential(load, folder))
        runs.append(upload(load, folder, worker=worker))
        bare.append(upload_bare(by_socket, folder))
        unhashed.append(upload_bare(by_socket, folder, "--unhashed"))
        disk.append(sequential(load, folder))
    row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    seconds = row["seconds"]
    return row | {
        "kind": kind,
        "client": load.client,
        "worker": worker,
        "gradients": load.sent,
        "bytes": size,
        "mb_per_second": size / MB / seconds,
        "disk_mb_per_second": size / MB / statistics.median(disk),
        "ratio": statistics.median(disk) / seconds,
        "bare_ratio": statistics.median(disk) / statistics.median(bare),
        "unhashed_ratio": statistics.median(disk) / statistics.median(unhashed),
        "gradients_per_second": load.sent / seconds,
        "livez_max": max(run["livez_max"] for run in runs),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "rounds": [
            run
            | {
                "disk_seconds": disk[2 * i : 2 * i + 2],
                "bare_seconds": bare[i],
                "unhashed_seconds": unhashed[i],
            }
            for i, run in enumerate(runs)
        ],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """A table in Markdown, to be quoted as it is."""
    print(
        "| gradients | client | MB/s | disk MB/s | ratio | bare | bare, unhashed | gradients/s "
        "| server CPU ns/byte | peak MB | /livez p50 ms | p99 | max |"
    )
    print("| --- " * 13 + "|")
    for row in rows:
        print(
            f"| {row['gradients']} {row['kind']} | {row['client']}{' + worker' * row['worker']} "
            f"| {row['mb_per_second']:.0f} | {row['disk_mb_per_second']:.0f} | {row['ratio']:.2f} "
            f"| {row['bare_ratio']:.2f} | {row['unhashed_ratio']:.2f} "
            f"| {row['gradients_per_second']:.0f} "
            f"| {row['server_cpu_seconds'] / row['bytes'] * 1e9:.2f} "
            f"| {row['peak_bytes'] / MB:.0f} | {row['livez_p50'] * 1e3:.1f} "
            f"| {row['livez_p99'] * 1e3:.1f} | {row['livez_max'] * 1e3:.1f} |",
            flush=True,
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small gradients, few of them")
    parser.add_argument("--megabytes", type=int, default=2000, help="sent in a round, by all")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["float32", "bfloat16"])
    parser.add_argument("--client", choices=("socket", "library"), default="socket")
    parser.add_argument("--worker", action="store_true", help="with a worker that sums meanwhile")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    parser.add_argument("--watch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        run_client(json.loads(options.send))
        return
    if options.watch:
        watch_livez(options.watch)
        return
    rows = []
    for kind in options.kinds:
        d_out, d_in, dtype = (QUICK if options.quick else KINDS)[kind]
        size = frames(Load(d_out, d_in, dtype, 1, 1, options.client))[0].size
        sent = (4 * MB if options.quick else options.megabytes * MB) / size
        count = max(1, round(sent / options.clients))
        load = Load(d_out, d_in, dtype, options.clients, count, options.client)
        rows.append(measure(kind, load, options.folder, options.rounds, worker=options.worker))
    print(f"{options.clients} clients, {os.cpu_count()} cores, medians of {options.rounds}\n")
    show(rows)
    digest = hashing()
    cores = os.cpu_count() or 1
    print(
        f"\nSHA-256, which any server owes: {digest * 1e9:.2f} ns a byte on one core, "
        f"{cores / digest / MB:.0f} MB/s if all {cores} did nothing else"
    )
    if options.json:
        figures = {"rows": rows, "sha256_seconds_per_byte": digest}
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
