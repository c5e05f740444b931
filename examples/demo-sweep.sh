#!/bin/sh
# Sweeps on real input: a grid of 5 x 4 points with 3 seeds, then a search of 30 trials that is interrupted and continued.
# usage: demo-sweep.sh FOLDER (is made anew), with git-replicate, scikit-learn and optuna on PATH
set -eu
. "$(dirname "$0")/digits/demo-repository.sh"

step 'git replicate sweep -j 2 --seeds 3 -e grid \
    -p lr=0.0003,0.001,0.003,0.01,0.03 -p hidden=8,16,32,64 \
    -- python train.py --lr {lr} --hidden {hidden}'
step 'git --no-pager replicate collate grid --group-by params --columns accuracy,loss --sort -accuracy'

printf '\n(asked to end after some runs)\n'
git replicate sweep -j 2 --search tpe --trials 30 --strategy-seed 1 -e search \
    -p lr=1e-4..1e-1:log -p hidden=4..128:log -p batch_size=16,32,64,128 \
    -- python train.py --lr '{lr}' --hidden '{hidden}' --batch-size '{batch_size}' --seed 1 &
sweep=$!
while test "$(git for-each-ref --format=x 'refs/experiments/search/*' | wc -l)" -lt 12; do sleep 0.2; done
kill -TERM "$sweep"
wait "$sweep" || printf '(exit %s)\n' "$?"

step 'git replicate sweep --resume latest -j 2'
step 'git --no-pager replicate collate search --group-by params --columns accuracy,loss --sort -accuracy'
printf '\nThe runs are in %s: try git replicate show best:accuracy there.\n' "$folder"
