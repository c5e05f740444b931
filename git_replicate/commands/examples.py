"""Command lines that show how each command is used: what `-h`, the man page and the docs print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "start": (
        "git replicate start -- python train.py --lr 0.1",
        "git replicate start -e mnist -m 'smaller batches' -- python train.py --batch-size 16",
        "git replicate start -p lr=0.1 --seed 3 -- python train.py --lr {lr} --seed {seed}",
        "git replicate start --prepare -- python train.py",
        "git replicate start --submit --submit-option=--gres=gpu:1 -- python train.py",
        "git replicate start --data data/raw --output 'plots/*.png' --metrics metrics.json -- ./train.sh",
    ),
    "finish": ("git replicate finish", "git replicate finish latest --failed 'the kernel died'"),
    "sweep": (
        "git replicate sweep -p lr=0.1,0.01 -p depth=1..4 -j 2 -- python train.py --lr {lr} --depth {depth}",
        "git replicate sweep -p lr=1e-5..1e-1:log --random 20 --seeds 3 -- python train.py --lr {lr} --seed {seed}",
        "git replicate sweep --resume latest",
        "git replicate sweep --submit -j 8 -p lr=0.1,0.01 --seeds 5 -- python train.py --lr {lr} --seed {seed}",
    ),
    "log": (
        "git replicate log -n 20",
        'git replicate log --where "metrics.accuracy > 0.9 and params.lr < 0.05" --sort -accuracy',
        "git replicate log --format json",
    ),
    "show": ("git replicate show latest", "git replicate show best:accuracy --curves --format json"),
    "diff-params": ("git replicate diff-params latest~1 latest", "git replicate diff-params --all latest~1 latest"),
    "diff": ("git replicate diff latest~1 latest", "git replicate diff --code latest~1 latest"),
    "env": (
        "git replicate env latest",
        "git replicate env latest --format json",
        "git replicate env best:accuracy --create ../table-2",
    ),
    "collate": (
        "git replicate collate --format csv -o runs.csv",
        "git replicate collate --group-by params --columns accuracy",
        "git replicate collate --rows params.lr --cols params.hidden --cell accuracy --format latex",
    ),
    "data": (
        "git replicate data",
        "git replicate data run",
        "git replicate data run prepare --force",
        "git replicate data hash latest",
    ),
    "outputs": ("git replicate outputs latest", "git replicate outputs best:accuracy 'plots/*' -o restored"),
    "rerun": (
        "git replicate rerun latest",
        "git replicate rerun best:accuracy --seeds 5",
        "git replicate rerun latest --onto HEAD --rtol 1e-3",
        "git replicate rerun latest --set lr=0.05",
        "git replicate rerun latest --env recorded",
        "git replicate rerun --affected --introduced-by HEAD~1 --onto HEAD",
    ),
    "why": (
        "git replicate why latest~1 latest",
        "git replicate why --format json latest~1 latest",
        "git replicate why --bisect --metric accuracy latest~1 latest",
    ),
    "check": ("git replicate check", "git replicate check --against HEAD~1 --rtol 1e-3 --format json"),
    "affected": (
        "git replicate affected --introduced-by HEAD~1",
        "git replicate affected --introduced-by HEAD~1 --fixed-by HEAD",
        "git replicate affected train.py:1-2",
    ),
    "snapshot": ("git replicate snapshot",),
    "apply": ("git replicate apply best:accuracy", "git replicate apply --params best:accuracy"),
    "branch": ("git replicate branch latest try-again",),
    "annotate": (
        "git replicate annotate latest --tag baseline --comment 'the numbers of table 2'",
        "git replicate annotate latest --invalid 'trained on the test set'",
    ),
    "rm": (
        "git replicate rm latest",
        "git replicate rm --where \"status = 'failed'\"",
        "git replicate rm --remote latest",
        "git replicate rm --undo",
        "git replicate rm --undo latest",
    ),
    "push": (
        "git replicate push",
        "git replicate push origin digits --yes",
        "git replicate push --where 'metrics.accuracy > 0.9'",
        "git replicate push --remote-prefix refs/heads/experiments/",
    ),
    "fetch": ("git replicate fetch", "git replicate fetch origin digits --outputs", "git replicate fetch runs.bundle"),
    "bundle": (
        "git replicate bundle runs.bundle",
        "git replicate bundle digits.bundle digits --not origin/main",
    ),
    "status": ("git replicate status",),
    "recover": ("git replicate recover --dry-run", "git replicate recover"),
    "gc": ("git replicate gc --dry-run", "git replicate gc"),
    "hooks": ("git replicate hooks install", "git replicate hooks status", "git replicate hooks remove"),
    "init": ("git replicate init", "git replicate init --yes"),
}
