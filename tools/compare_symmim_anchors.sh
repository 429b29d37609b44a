#!/usr/bin/env bash
# SymMIM's anchors of the checkerboards, corner against center, on the embedded data: pre-training
# with each (three seeds), then k-NN and the linear probe of the features, as a leaderboard.
#
#   bash tools/compare_symmim_anchors.sh [OUT [SIZE]]
#
# SIZE is that of `mim-bench data make-toy`, small by default.
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit
fi
out=$(realpath -m "${1:-symmim-anchors}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
config=configs/demo/symmim_vit-toy_1xb32-coslr-5e_toy-in1k-56px.py
mim-bench data make-toy "$out/data" --size "${2:-small}"
rows=()
for anchor in corner center; do
    for seed in 0 1 2; do
        work_dir="$out/pretrain/$anchor-$seed"
        mim-bench train "$config" --data-root "$out/data/imagenet" --work-dir "$work_dir" --seed "$seed" \
            --auto-resume --cfg-options train_dataloader.dataset.pipeline.2.anchor="$anchor"
        rows+=("$anchor-$seed=$work_dir/epoch_5.pth")
    done
done
exec mim-bench run --checkpoint "${rows[@]}" random:vit-toy --suite smoke \
    --tasks in1k-knn,in1k-linear --data-root "$out/data" --out "$out"
