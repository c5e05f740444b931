#!/bin/sh
# The main job on real input: record trainings with several hyperparameters and seeds, then read them back.
# usage: demo.sh FOLDER (is made anew), with git-replicate and scikit-learn on PATH
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: demo.sh FOLDER}

rm -rf "$folder"
mkdir -p "$folder"
cp "$here"/digits/train.py "$here"/digits/replicate.toml "$here"/digits/requirements.txt "$folder"
cp "$here"/digits/gitignore "$folder"/.gitignore
cd "$folder"
git init -q .
git add .
git -c user.name='Demo' -c user.email='demo@example.org' commit -q -m 'digits'

step() {
    printf '\n$ %s\n' "$1"
    eval "$1"
}

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
