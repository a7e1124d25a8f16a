"""A thousand simulated domains (250 unless XEND_TEST_SOAK=1): adopted and listed in no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOMAINS = 1000 if os.environ.get("XEND_TEST_SOAK") else 250


def test_many_domains() -> None:
    """Processor time is what is limited, since the machine may be busy; in a process of its own,
    whose memory is measured."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale_sim", f"--domains={DOMAINS}", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scale = json.loads(done.stdout)
    print(scale)
    assert scale["domains"] == DOMAINS
    share = DOMAINS / 1000
    assert scale["adoption_cpu"] < 3 * share
    assert scale["snapshot_list"] < 0.020 * share
    assert scale["answered_list"] < 0.030 * share  # 0.020, were no client in the same process
    assert scale["rss"] < 150 * 1000
