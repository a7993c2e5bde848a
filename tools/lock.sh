#!/bin/sh
# Pin anew what `./run` installs: uv.lock, and from it tools/constraints.txt for pip. Needs uv.
set -eu
cd -- "$(dirname -- "$0")/.."
uv lock --no-config "$@"
uv export --no-config --quiet --frozen --all-extras --no-emit-project --no-hashes --no-annotate --no-header \
    --output-file tools/constraints.txt
