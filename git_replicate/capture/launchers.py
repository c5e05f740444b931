"""The launchers that put themselves in front of a program, and what is known of their options."""

from __future__ import annotations

from git_replicate.core.frozen import frozen


@frozen
class Launcher:
    """How to find the command inside a launcher's: which options take a value, which none, what comes before."""

    values: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ()  # a word that must follow, such as `run`
    positional: int = 0  # words between the options and the command, such as timeout's duration
    python: bool = False  # the command is a script or module of Python's
    assignments: bool = False  # NAME=value words come before the command
    anything: bool = False  # the options are too many to know: the command starts at what looks like a program


def words(text: str) -> frozenset[str]:
    """A set of words written as one text."""
    return frozenset(text.split())


_TORCHRUN = Launcher(
    values=words(
        "nnodes nproc_per_node rdzv_backend rdzv_endpoint rdzv_id rdzv_conf max_restarts monitor_interval start_method "
        "event_log_handler role log_dir r redirects t tee local_ranks_filter node_rank master_addr master_port "
        "local_addr logs_specs numa_binding signals_to_handle duplicate_stdout_filters"
    ),
    flags=words("standalone no_python run_path use_env m module"),
    python=True,
)
_ACCELERATE = Launcher(
    verbs=("launch",),
    flags=words(
        "m module no_python debug q quiet cpu multi_gpu tpu use_fsdp use_deepspeed use_megatron_lm use_xpu ipex fp8 "
        "same_network use_parallelism_config"
    ),
    python=True,
)
_MPI = Launcher(
    values=words(
        "n np c host hosts hostfile machinefile f H ppn x mca bind-to map-by rank-by wdir path output-filename N "
        "report-uri tune am app genv env envlist p wd timeout"
    ),
    flags=words(
        "oversubscribe allow-run-as-root v verbose q quiet tag-output use-hwthread-cpus display-map report-bindings "
        "l prepend-rank nolocal bycore bynode"
    ),
)
_SRUN = Launcher(
    values=words(
        "n ntasks c cpus-per-task N nodes p partition t time J job-name o output e error i input D chdir A account "
        "w nodelist x exclude C constraint q qos L licenses M clusters d dependency G gpus mem gres gpus-per-task "
        "gpus-per-node mem-per-cpu mem-per-gpu ntasks-per-node cpu-bind gpu-bind mpi jobid r relative T threads "
        "container-image container-mounts container-name export"
    ),
    flags=words(
        "exclusive overlap pty l label u unbuffered v verbose Q quiet s oversubscribe k no-kill K kill-on-bad-exit W O "
        "overcommit exact X disable-status E preserve-env"
    ),
)
_RUNNERS = words("no-sync locked frozen isolated no-project active offline q quiet v verbose n no-cache s silent")
_UV = Launcher(
    verbs=("run",),
    values=words(
        "with with-editable with-requirements extra group no-group only-group p python package project directory "
        "env-file index default-index index-url extra-index-url find-links config-file color no-extra w i f"
    ),
    flags=_RUNNERS | words("all-extras all-groups no-dev dev only-dev exact m module script gui-script no-env-file"),
    python=True,
)
_RUN = Launcher(
    verbs=("run",),
    values=words("C directory P project p manifest-path e environment E env-file"),
    flags=_RUNNERS,
)
_CONDA = Launcher(
    verbs=("run",),
    values=words("n name p prefix cwd e env a attach"),
    flags=words("no-capture-output live-stream s v vv vvv verbose dev debug-wrapper-scripts clean-env"),
)
_CONTAINER = Launcher(anything=True)

LAUNCHERS: dict[str, Launcher] = {
    "env": Launcher(values=words("u unset C chdir"), flags=words("i ignore-environment v debug"), assignments=True),
    "nice": Launcher(values=words("n adjustment")),
    "ionice": Launcher(values=words("c class n classdata"), flags=words("t ignore")),
    "nohup": Launcher(),
    "time": Launcher(values=words("f format o output"), flags=words("p portability v verbose a append q quiet")),
    "timeout": Launcher(
        values=words("k kill-after s signal"), flags=words("foreground preserve-status v verbose"), positional=1
    ),
    "stdbuf": Launcher(values=words("i input o output e error")),
    "setsid": Launcher(flags=words("c ctty f fork w wait")),
    "taskset": Launcher(flags=words("a all-tasks c cpu-list"), positional=1),
    "chrt": Launcher(flags=words("f r o b i a v"), positional=1),
    "numactl": Launcher(values=words("N m C i p cpunodebind membind physcpubind interleave preferred"),
                         flags=words("l localalloc a all")),
    "prlimit": Launcher(),
    "unbuffer": Launcher(flags=words("p")),
    "xvfb-run": Launcher(values=words("e error-file f auth-file n server-num p xauth-protocol s server-args w wait"),
                          flags=words("a auto-servernum l listen-tcp")),
    "sudo": Launcher(values=words("u user g group h host C D chdir p prompt"), flags=words("E n H b i s k"),
                      assignments=True),
    "caffeinate": Launcher(values=words("t w"), flags=words("d i m s u")),
    "nsys": _CONTAINER, "ncu": _CONTAINER, "perf": _CONTAINER, "docker": _CONTAINER, "podman": _CONTAINER,
    "apptainer": _CONTAINER, "singularity": _CONTAINER, "strace": _CONTAINER, "valgrind": _CONTAINER,
    "py-spy": _CONTAINER, "memray": _CONTAINER, "horovodrun": _CONTAINER, "jsrun": _CONTAINER,
    "torchrun": _TORCHRUN, "torch.distributed.run": _TORCHRUN, "torch.distributed.launch": _TORCHRUN,
    "accelerate": _ACCELERATE, "accelerate-launch": Launcher(flags=_ACCELERATE.flags, python=True),
    "deepspeed": Launcher(
        values=words("H hostfile i include e exclude num_nodes num_gpus master_port master_addr node_rank launcher "
                      "launcher_args autotuning elastic_training save_pid bind_core_list ssh_port venv_script"),
        flags=words("module no_python no_local_rank force_multi enable_each_rank_log bind_cores_to_rank"),
        python=True,
    ),
    "mpirun": _MPI, "mpiexec": _MPI, "mpiexec.hydra": _MPI, "orterun": _MPI, "srun": _SRUN, "aprun": _MPI,
    "uv": _UV, "uvx": Launcher(values=_UV.values | {"from"}, flags=_UV.flags, python=True),
    "poetry": _RUN, "pdm": _RUN, "hatch": _RUN, "pipenv": _RUN, "pixi": _RUN, "rye": _RUN,
    "conda": _CONDA, "mamba": _CONDA, "micromamba": _CONDA,
    "coverage": Launcher(
        verbs=("run",), values=words("rcfile data-file source include omit concurrency context"),
        flags=words("a append branch p parallel-mode timid L pylib"), python=True,
    ),
    "cProfile": Launcher(values=words("o s"), python=True), "profile": Launcher(values=words("o s"), python=True),
    "pdb": Launcher(values=words("c"), python=True), "ipdb": Launcher(values=words("c"), python=True),
    "ipython": Launcher(values=words("c"), flags=words("i"), python=True),
    "ipython3": Launcher(values=words("c"), flags=words("i"), python=True),
    "kernprof": Launcher(values=words("o outfile s setup u unit i"), flags=words("l v b line-by-line"), python=True),
    "viztracer": Launcher(values=words("o output_file tracer_entries"), python=True),
    "scalene": Launcher(values=words("outfile"), flags=words("cpu gpu memory html json cli"), python=True),
    "jupyter": _CONTAINER, "jupyter-execute": _CONTAINER, "jupyter-nbconvert": _CONTAINER, "jupyter-run": _CONTAINER,
    "debugpy": Launcher(values=words("listen connect log-to"), flags=words("wait-for-client"), python=True),
}  # fmt: skip
