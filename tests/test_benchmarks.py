import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import BENCHMARKS

_LIMIT = 500  # seconds: beside other tests on two slow cores some take minutes


@pytest.mark.slow
@pytest.mark.timeout(_LIMIT + 30)
@pytest.mark.rotated(every=8)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_still_runs(name):
    command = [sys.executable, "-m", "tests.benchmarks", name, "--tiny"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=_LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    assert len(done.stdout.splitlines()) > 2
