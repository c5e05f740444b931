#!/bin/sh
# The main job on real input: record trainings with several hyperparameters and seeds, then read them back.
# usage: demo.sh FOLDER (is made anew), with git-replicate and scikit-learn on PATH
set -eu
. "$(dirname "$0")/digits/demo-repository.sh"

for lr in 0.001 0.01; do
    for hidden in 8 32; do
        for seed in 1 2 3; do
            git replicate start -q -- python train.py --lr "$lr" --hidden "$hidden" --seed "$seed" > /dev/null
        done
    done
done
step "git replicate start -m 'does a learning rate of zero end well?' -- python train.py --lr 0 --seed 1" || :

step 'git --no-pager replicate log'
step 'git --no-pager replicate diff-params latest~1 latest~12'
step 'git replicate rerun best:accuracy 2> /dev/null | tail -n 1' || :
step 'git --no-pager replicate collate --group-by params --columns accuracy,loss'
printf '\nThe runs are in %s: try git replicate show best:accuracy there.\n' "$folder"
