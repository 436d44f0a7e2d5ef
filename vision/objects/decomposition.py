"""CoACD in a process of its own: its native code hears no signal, so that only another process can stop it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np

from vision.geometry.rotations import FloatArray
from vision.machine.processes import die_with

_START = "from vision.objects.decomposition import main; main()"


def decompose(vertices: FloatArray, faces: np.ndarray, settings: dict[str, Any]) -> list[FloatArray]:
    """Return the vertices (V, 3) of each convex piece that CoACD finds.

    Args:
        vertices: (N, 3) of the body.
        faces: (M, 3) indices of its triangles' corners.
        settings: keyword arguments of ``coacd.run_coacd``.

    Raises:
        ValueError: CoACD fails on this body.
    """
    # The child finds modules where this process does, and puts neither its folder nor that of this file before them.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", _START, str(os.getpid()), json.dumps(settings)]
    # If a signal raises here, ``run`` kills the child before it lets the exception pass.
    body = io.BytesIO()
    np.savez(body, vertices=vertices, faces=faces)
    child = subprocess.run(command, input=body.getvalue(), capture_output=True, env=environment, check=False)
    pieces = None if child.returncode else unpacked(child.stdout)
    if pieces is None:
        said = child.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {child.returncode}"]
        raise ValueError(f"CoACD found no convex pieces ({said[-1]}); list files of convex pieces under pieces")
    return pieces


def main() -> None:
    """Decompose the body on standard input, for the process and with the settings in the arguments."""
    die_with(int(sys.argv[1]))
    result = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what CoACD prints is not the result
    import coacd

    coacd.set_log_level("error")
    body = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    found = coacd.run_coacd(coacd.Mesh(body["vertices"], body["faces"]), **json.loads(sys.argv[2]))
    with result:
        result.write(packed([np.asarray(vertices, np.float64) for vertices, _ in found]))


def packed(pieces: list[FloatArray]) -> bytes:
    """Return the bytes that stand for convex pieces."""
    buffer = io.BytesIO()
    np.savez(buffer, vertices=np.concatenate(pieces), counts=np.array([len(piece) for piece in pieces]))
    return buffer.getvalue()


def unpacked(content: bytes) -> list[FloatArray] | None:
    """Return the pieces; None if the content is not that of :func:`packed`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            vertices, counts = arrays["vertices"], arrays["counts"]
        fits = vertices.dtype == np.float64 and vertices.shape == (int(counts.sum()), 3) and counts.min() > 0
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    if not fits or not np.isfinite(vertices).all():
        return None
    return np.split(vertices, np.cumsum(counts)[:-1])
