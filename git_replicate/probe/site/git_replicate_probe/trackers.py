"""What a program passes to wandb, TensorBoard's SummaryWriter and MLflow, seen as it is passed.

The real methods are called first, with the very arguments, and what they return or raise is returned or raised; what
was logged is noted after a call that succeeded. The methods are replaced on the classes that every other way of
logging goes through (`wandb.log`, MLflow's fluent functions and autologging, the loggers of frameworks). Only rank 0
is noted. Nothing here asks a network, a service or a device for anything that the call itself did not need.

Not handled: pictures, tables, histograms, artifacts - their tracker keeps them; Comet, Neptune, ClearML, Aim.
"""

from __future__ import annotations

import os
import sys

from git_replicate_probe.place import is_upper_rank
from git_replicate_probe.points import Points, number, numbers, whole
from git_replicate_probe.values import plain
from git_replicate_probe.wrapping import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from git_replicate_probe.session import Probe


def install(probe: Probe) -> None:
    """Wait for the trackers to be imported."""
    if probe.place.rank or probe.place.is_launcher:
        return
    points = Points(probe)
    wandb = _Wandb(probe, points)
    probe.on_import("wandb.sdk.wandb_run", wandb.watch_run)
    probe.on_import("wandb.sdk.lib.noop_run", wandb.watch_disabled)
    probe.on_import("wandb.sdk.wandb_summary", wandb.watch_summary)
    probe.on_import("wandb.sdk.wandb_init", wandb.watch_init)
    probe.at_end(wandb.note_config)
    writers = _Writers(probe, points)
    probe.on_import("torch.utils.tensorboard.writer", writers.watch)
    probe.on_import("tensorboardX.writer", writers.watch)
    probe.on_import("mlflow.tracking.client", _Mlflow(probe, points).watch)


def _replace(owner: Any, name: str, probe: Probe, seen: Callable[..., object]) -> None:
    """Have `seen(result, *arguments)` called after each successful call of a method or function of `owner`."""
    original = owner.__dict__.get(name)
    if not callable(original):
        return

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not is_upper_rank():
            try:
                seen(result, *args, **kwargs)
            except Exception as error:  # a version of the library that we do not know; the program goes on
                probe.failed(f"tracker {name}", error)
        return result

    setattr(owner, name, call)


class _WandbRun:
    """What is known of one wandb run: where its steps stand, and which metrics have steps of their own."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.id = str(run.id)
        self.step = int(getattr(run, "starting_step", 0) or 0)
        self.config = ""
        self.definitions: list[tuple[str, str]] = []
        self.axes: dict[str, str] = {}
        self.last: dict[str, float | int] = {}

    def axis(self, name: str) -> str:
        """The metric that numbers the points of this one; "" for wandb's own step."""
        found = self.axes.get(name)
        if found is None:
            matching = [axis for pattern, axis in self.definitions if _matches(name, pattern)]
            found = self.axes[name] = matching[-1] if matching else ""
        return found


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class _Wandb:
    def __init__(self, probe: Probe, points: Points) -> None:
        self._probe = probe
        self._points = points
        self._runs: dict[str, _WandbRun] = {}
        self._objects: dict[int, tuple[Any, _WandbRun]] = {}
        """By the run's `id()`, with the run itself, so that no other gets that: to ask a run who it is takes long."""
        self._starting = 0

    def watch_run(self, module: Any) -> None:
        _replace(module.Run, "log", self._probe, self._logged)
        _replace(module.Run, "define_metric", self._probe, self._defined)

    def watch_disabled(self, module: Any) -> None:
        _replace(module.NoopRun, "log", self._probe, self._logged)
        _replace(module.NoopRun, "define_metric", self._probe, self._defined)

    def watch_summary(self, module: Any) -> None:
        update = module.SummaryDict.update
        module.Summary.update = update  # the root's own: inner tables are of another class
        _replace(module.Summary, "update", self._probe, self._summarised)

    def watch_init(self, module: Any) -> None:
        init = module.init

        @wraps(init)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._starting += 1
            try:
                run = init(*args, **kwargs)
            finally:
                self._starting -= 1
            if not is_upper_rank():
                self._probe.guarded("tracker wandb.init", self._began, run)
            return run

        module.init = call

    def _began(self, run: Any) -> None:
        if run is None or id(run) in self._objects:
            return
        self._known(run)
        if "log" in vars(run):
            self._watch_object(run)
        if not run.disabled:
            self._probe.note(
                "tracker", library="wandb", id=run.id, name=run.name, project=run.project, entity=run.entity,
                url=None if run.offline else run.url,  # wandb warns whoever asks for the address of an offline run
                directory=os.path.dirname(run.dir), offline=bool(run.offline),
            )  # fmt: skip
        self.note_config()

    def _watch_object(self, run: Any) -> None:
        """A disabled run before wandb 0.19 had functions of its own, of which `wandb.log` is one."""
        before = run.log
        _replace(run, "log", self._probe, lambda result, *args, **kwargs: self._logged(result, run, *args, **kwargs))
        wandb: Any = sys.modules.get("wandb")
        if getattr(wandb, "log", None) is before:
            wandb.log = run.log

    def note_config(self) -> None:
        """Note the configs that are not as they were noted last."""
        for run_id, known in self._runs.items():
            config = known.run.config
            values = {str(key): value for key, value in dict(config).items() if not str(key).startswith("_wandb")}
            shown = repr(values)
            if values and shown != known.config:
                known.config = shown
                self._probe.note("tracker_params", library="wandb", run=run_id, values=plain(values))

    def _known(self, run: Any) -> _WandbRun:
        found = self._objects.get(id(run))
        if found is not None:
            return found[1]
        known = _WandbRun(run)
        known = self._runs.setdefault(known.id, known)
        self._objects[id(run)] = (run, known)
        return known

    def _logged(self, _: Any, run: Any, data: Any = None, step: Any = None, commit: Any = None, **__: Any) -> None:
        known = self._known(run)
        step = whole(step)
        if step is not None and step > known.step:
            known.step = step
        self._add(known.id, known, known.step if step is None else step, numbers(data))
        if commit or (step is None and commit is None):
            known.step += 1

    def _add(self, run_id: str, known: _WandbRun, step: int, values: dict[str, float | int]) -> None:
        """Note a row, in parts where metrics have steps of their own; what numbers others goes on, and is no metric."""
        if not known.definitions:
            self._points.add("wandb", run_id, step, values)
            return
        rows: dict[int | None, dict[str, float | int]] = {}
        known.last.update(values)
        numbering = {axis for _, axis in known.definitions}
        for name, value in values.items():
            if name in numbering:
                continue
            axis = known.axis(name)
            own = whole(known.last.get(axis)) if axis else None
            rows.setdefault(step if own is None else own, {})[name] = value
        for own, row in rows.items():
            self._points.add("wandb", run_id, own, row)

    def _defined(self, _: Any, run: Any, name: str = "", step_metric: Any = None, *__: Any, **___: Any) -> None:
        if step_metric is not None:
            known = self._known(run)
            known.definitions.append((str(name), str(getattr(step_metric, "name", step_metric))))
            known.axes.clear()

    def _summarised(self, _: Any, summary: Any, values: Any = None) -> None:
        if self._starting:  # a resumed run is told what it had
            return
        for run_id, known in self._runs.items():
            if getattr(known.run, "summary", None) is summary:
                self._points.add("wandb", run_id, None, numbers(values))


class _Writers:
    """TensorBoard's writers of PyTorch and tensorboardX; a metric's run is the folder that its event file lies in."""

    def __init__(self, probe: Probe, points: Points) -> None:
        self._probe = probe
        self._points = points
        self._folders: dict[str, str] = {}

    def watch(self, module: Any) -> None:
        is_torch = module.__name__.startswith("torch.")
        _replace(module.SummaryWriter, "add_scalar", self._probe, self._scalar)
        _replace(module.SummaryWriter, "add_scalars", self._probe, self._scalars_torch if is_torch else self._scalars_x)
        _replace(module.SummaryWriter, "add_hparams", self._probe, self._params)

    def _scalar(
        self, _: Any, writer: Any, tag: Any, scalar_value: Any, global_step: Any = None, *__: Any, **___: Any
    ) -> None:
        value = number(scalar_value)
        if value is not None:
            self._points.add("tensorboard", self._folder(writer), whole(global_step), {str(tag): value})

    def _scalars_torch(
        self, _: Any, writer: Any, main_tag: Any, tag_scalar_dict: Any, global_step: Any = None, *__: Any, **___: Any
    ) -> None:
        """A folder for each of the values beside the writer's own."""
        for tag, value in numbers(tag_scalar_dict).items():
            folder = f"{self._folder(writer)}/{str(main_tag).replace('/', '_')}_{tag}"
            self._points.add("tensorboard", folder, whole(global_step), {str(main_tag): value})

    def _scalars_x(
        self, _: Any, writer: Any, main_tag: Any, tag_scalar_dict: Any, global_step: Any = None, *__: Any, **___: Any
    ) -> None:
        for tag, value in numbers(tag_scalar_dict).items():
            folder = os.path.join(self._folder(writer), str(main_tag), str(tag))
            self._points.add("tensorboard", folder, whole(global_step), {str(main_tag): value})

    def _params(self, _: Any, writer: Any, hparam_dict: Any, *__: Any, **___: Any) -> None:
        self._probe.note("tracker_params", library="tensorboard", run="", values=plain(dict(hparam_dict)))

    def _folder(self, writer: Any) -> str:
        """The writer's folder as it was when its first value came: a program may change its directory."""
        given = os.fspath(getattr(writer, "log_dir", None) or getattr(writer, "logdir", None) or "")
        folder = self._folders.get(given)
        if folder is None:
            remote = "://" in given
            folder = self._folders[given] = given if remote else os.path.abspath(given)
            self._probe.note("tracker", library="tensorboard", id="", directory=folder)
        return folder


class _Mlflow:
    """MLflow's client, through which its functions, its autologging and other libraries' loggers go."""

    def __init__(self, probe: Probe, points: Points) -> None:
        self._probe = probe
        self._points = points
        self._seen: set[str] = set()

    def watch(self, module: Any) -> None:
        client = module.MlflowClient
        _replace(client, "create_run", self._probe, self._created)
        _replace(client, "log_metric", self._probe, self._metric)
        _replace(client, "log_param", self._probe, self._param)
        _replace(client, "log_batch", self._probe, self._batch)

    def _created(self, run: Any, client: Any, *_: Any, **__: Any) -> None:
        info = run.info
        self._note(client, info.run_id, experiment=info.experiment_id, name=getattr(info, "run_name", None))

    def _note(self, client: Any, run_id: str, **fields: Any) -> None:
        if run_id not in self._seen:
            self._seen.add(run_id)
            address = getattr(client, "tracking_uri", None)
            self._probe.note("tracker", library="mlflow", id=run_id, tracking_uri=address, **fields)

    def _metric(
        self,
        _: Any,
        client: Any,
        run_id: str,
        key: Any,
        value: Any,
        timestamp: Any = None,
        step: Any = None,
        *__: Any,
        **___: Any,
    ) -> None:
        self._note(client, run_id)
        self._points.add("mlflow", run_id, whole(step), numbers({key: value}))

    def _param(self, _: Any, client: Any, run_id: str, key: Any, value: Any, *__: Any, **___: Any) -> None:
        self._note(client, run_id)
        self._probe.note("tracker_params", library="mlflow", run=run_id, values=plain({str(key): value}))

    def _batch(
        self, _: Any, client: Any, run_id: str, metrics: Any = (), params: Any = (), *__: Any, **___: Any
    ) -> None:
        self._note(client, run_id)
        steps: dict[int | None, dict[str, float | int]] = {}
        for metric in metrics:
            steps.setdefault(whole(metric.step), {}).update(numbers({metric.key: metric.value}))
        for step, values in steps.items():
            self._points.add("mlflow", run_id, step, values)
        if params:
            values = {str(param.key): param.value for param in params}
            self._probe.note("tracker_params", library="mlflow", run=run_id, values=values)
