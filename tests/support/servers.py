"""A real server process for tests of the client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 120.0


class RunningServer:
    """`sparsegrad-server serve --embedded` over a folder; can be killed and started again.

    Args:
        data: the data folder.
        settings: settings that differ from the defaults.
    """

    def __init__(self, data: Path, **settings: object) -> None:
        self._data = data
        self._environment = {
            "OMP_NUM_THREADS": "1",
            **{f"SPARSEGRAD_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._port = 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; on the port that it had before, if it ran before."""
        self._data.mkdir(parents=True, exist_ok=True)
        serve = [sys.executable, "-m", "sparsegrad_server", "serve", "--embedded"]
        place = ["--data", str(self._data), "--host", "127.0.0.1", "--port", str(self._port)]
        with (self._data / "test-server.log").open("a") as log:
            self._process = subprocess.Popen(
                serve + place,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | self._environment,
            )
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        line = next(iter(self._process.stdout or ()), "")
        watchdog.cancel()
        if not line:
            self._process.communicate()
            raise RuntimeError((self._data / "test-server.log").read_text()[-2000:])
        said = json.loads(line)
        self.url: str = said["url"]
        self.token = Path(said["token_file"]).read_text().strip()
        self._port = int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """End it in the middle of whatever it does (SIGKILL)."""
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """End it the ordinary way."""
        self._process.communicate(timeout=START_SECONDS)
