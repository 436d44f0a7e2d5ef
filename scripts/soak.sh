#!/usr/bin/env bash
# Runs generation, then training, for the given minutes each (60), and records memory, rate, open files and processes.
# Writes runs/soak/{render,train}/{watch.csv,verdict.json}; fails unless both are flat.
set -euo pipefail
minutes=${1:-60}
out=runs/soak
python=.venv/bin/python
export OMP_NUM_THREADS=1 LP_NUM_THREADS=1

mkdir -p "$out"
rm -rf "$out"/{render,train}
[ -e "$out/states/manifest.json" ] || $python -m dactyl states --output "$out/states" --count 2000
[ -e "$out/data/manifest.json" ] || $python -m dactyl render --states "$out/states" --output "$out/data" --count 96 \
  --render.image_size 64 --render.shadows false

# Small shards make workers be replaced every few seconds, which is when leaks show.
$python -m tests.soak.watch --minutes "$minutes" --out "$out/render" --shards 16 -- \
  $python -m dactyl render --states "$out/states" --output "$out/render/out" --count 10000000 --shard_size 16 \
  --render.image_size 48 --render.shadows false --render.mesh_fraction 0.05 --workers 1
rm -rf "$out/render/out"

$python -m tests.soak.watch --minutes "$minutes" --out "$out/train" -- \
  $python -m dactyl train --data.train "$out/data" --output "$out/train/out" --data.batch_size 4 --data.workers 1 \
  --model.head geometric --model.backbone.name pyramid --model.backbone.width 8 --model.backbone.blocks 1 \
  --model.window '{"size": 32, "locator_width": 8}' --optimizer.name adamw --threads 1 \
  --trainer.max_steps 100000000 --trainer.val_check_interval 1000 --trainer.log_every_n_steps 20 --trainer.accelerator cpu
