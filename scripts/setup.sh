#!/usr/bin/env bash
# Installs everything that the project needs on a fresh Debian or Ubuntu machine: system libraries for rendering without
# a screen, a virtual environment in .venv, the pinned and hashed dependencies, and this package. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }

# ---- system libraries: Vulkan with Mesa's software driver (Filament), EGL and OSMesa (MuJoCo classic)
packages=()
have() { ldconfig -p | grep -q "$1"; }
have libvulkan.so.1 || packages+=(libvulkan1)
compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null ||
  packages+=(mesa-vulkan-drivers)
have libEGL.so.1 || packages+=(libegl1)
have libGL.so.1 || packages+=(libgl1)
have libOSMesa.so || packages+=(libosmesa6)

# ---- a Python version for which the pinned dependencies have wheels
python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
      python=$(command -v "$candidate")
      break
    fi
  done
fi
[ -n "$python" ] || { say "needs Python 3.11 or 3.12; install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=("$(basename "$(readlink -f "$python")")-venv")

if [ ${#packages[@]} -gt 0 ]; then
  command="apt-get update && apt-get install --no-install-recommends --yes ${packages[*]}"
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends --yes -qq "${packages[@]}" >/dev/null
  else
    say "missing system libraries; run this, then try again:"
    printf '  sudo sh -c "%s"\n' "$command" >&2
    exit 1
  fi
fi

# ---- virtual environment and dependencies
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
say "installing the pinned dependencies (several gigabytes the first time, PyTorch mostly)"
# Compile once here; with PYTHONDONTWRITEBYTECODE set, each process would otherwise compile torch again, for seconds.
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --require-hashes --compile-bytecode -r requirements.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --editable .
touch .venv/ready
say "ready: .venv/bin/dactyl"
