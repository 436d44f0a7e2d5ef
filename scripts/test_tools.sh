#!/usr/bin/env bash
# Installs what only the tests need: mono, to compile the Unity project's C# and to run the part that needs no engine.
set -euo pipefail

command -v mcs >/dev/null && command -v mono >/dev/null && exit 0
packages="mono-mcs mono-runtime"
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  printf 'test tools: installing %s\n' "$packages" >&2
  apt-get update -qq
  # shellcheck disable=SC2086  # a list of packages
  DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends --yes -qq $packages >/dev/null
else
  printf 'test tools: the tests of the C# code are skipped; to run them: sudo apt-get install %s\n' "$packages" >&2
fi
