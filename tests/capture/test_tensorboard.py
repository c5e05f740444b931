"""TensorBoard's event files: the format, damage, several files and directories."""

from __future__ import annotations

import importlib
import math
import struct
from pathlib import Path

import pytest

from git_replicate.capture.curves import Point
from git_replicate.capture.event_files import _masked_crc
from git_replicate.capture.tensorboard import EventSearch, find_event_files, read_event_files
from tests.support import GitRepo, replicate


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def event(step: int, summary: bytes, time: float = 105.0) -> bytes:
    return record(b"\x09" + struct.pack("<d", time) + field(2, step) + field(5, summary))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", _masked_crc(length)), data, struct.pack("<I", _masked_crc(data))))


def simple(tag: str, value: float) -> bytes:
    return field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))


def tensor(tag: str, content: bytes, *, plugin: str = "scalars") -> bytes:
    metadata = field(9, field(1, field(1, plugin.encode()))) if plugin else b""
    return field(1, field(1, tag.encode()) + metadata + field(8, content))


def write(folder: Path, *events: bytes, name: str = "events.out.tfevents.1.host") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(events))
    return folder / name


def read(top: Path, since: float | None = 100.0) -> tuple[list[Point], list[str]]:
    curves, notices = read_event_files(find_event_files(str(top), since=None), top=str(top), since=since)
    return list(curves), notices


def test_the_checksum_is_castagnolis() -> None:
    # The check value of CRC-32C, masked as TFRecord does.
    assert _masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_scalars_of_the_old_and_the_new_style(tmp_path: Path) -> None:
    write(
        tmp_path,
        event(1, simple("loss", 0.1)),
        event(2, tensor("a", field(1, 1) + field(5, struct.pack("<f", 0.25)))),
        event(3, tensor("b", field(1, 2) + field(4, struct.pack("<d", 1e-9)))),
        event(4, tensor("c", field(1, 9) + field(10, (1 << 64) - 3))),
        event(5, tensor("d", field(1, 19) + field(13, 0x3C00))),
        event(6, simple("nan", math.nan)),
    )
    points, notices = read(tmp_path)
    assert points[:5] == [
        Point(1, 5.0, "loss", 0.1), Point(2, 5.0, "a", 0.25), Point(3, 5.0, "b", 1e-9), Point(4, 5.0, "c", -3),
        Point(5, 5.0, "d", 1.0),
    ]  # fmt: skip
    assert (points[5].metric, math.isnan(points[5].value), notices) == ("nan", True, [])


def test_what_is_no_scalar_is_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        event(1, tensor("histogram", field(1, 1) + field(2, field(2, field(1, 3))) + field(4, b"\0" * 12))),
        event(1, tensor("text", field(1, 7) + field(8, b"words"), plugin="text")),
        event(1, tensor("hparams", field(1, 1) + field(5, struct.pack("<f", 1)), plugin="hparams")),
        event(1, field(1, field(1, b"image") + field(4, b"\x89PNG"))),
        event(1, field(1, field(1, b"large") + field(4, b"\0" * 100_000))),
        event(2, simple("loss", 1)),
    )
    assert read(tmp_path) == ([Point(2, 5.0, "loss", 1.0)], [])


@pytest.mark.parametrize("cut", [1, 5, 13, 30])
def test_a_torn_end_is_no_damage(tmp_path: Path, cut: int) -> None:
    second = event(2, simple("loss", 0.5))
    write(tmp_path, event(1, simple("loss", 1)), second[:cut])
    assert read(tmp_path) == ([Point(1, 5.0, "loss", 1.0)], [])


def test_damage_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    bad = bytearray(event(2, simple("loss", 0.5)))
    bad[-6] ^= 0xFF
    write(tmp_path, event(1, simple("loss", 1)), bytes(bad), event(3, simple("loss", 0.25)), b"\0" * 100)
    points, notices = read(tmp_path)
    assert [point.step for point in points] == [1, 3]
    assert len(notices) == 1
    assert notices[0].startswith("metrics events.out.tfevents.1.host: damaged at byte ")


def test_a_record_that_is_no_event_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, record(b"\xff" * 30), record(b"\x2a\x05abc"), event(1, simple("loss", 1)))
    points, notices = read(tmp_path)
    assert [point.value for point in points] == [1.0]
    assert notices == ["metrics events.out.tfevents.1.host: a record that is no event is left out"]


def test_files_of_one_directory_go_on_from_each_other(tmp_path: Path) -> None:
    write(tmp_path, *(event(step, simple("loss", step)) for step in (1, 2, 3)), name="events.out.tfevents.1.h")
    again = record(b"\x09" + struct.pack("<d", 106.0) + field(2, 3) + field(7, field(1, 1)))
    write(tmp_path, again, event(3, simple("loss", 30)), name="events.out.tfevents.2.h")
    points, _ = read(tmp_path)
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_directories_with_the_same_tag_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "train", event(1, simple("loss", 1)), event(1, simple("lr", 0.5)))
    write(tmp_path / "logs" / "validation", event(1, simple("loss", 2)))
    assert {point.metric: point.value for point in read(tmp_path)[0]} == {
        "train/loss": 1.0, "validation/loss": 2.0, "lr": 0.5,
    }  # fmt: skip


def test_a_clock_that_is_not_the_runs_gives_points_without_a_time(tmp_path: Path) -> None:
    write(tmp_path, event(1, simple("loss", 1), time=7.0))
    assert read(tmp_path)[0] == [Point(1, None, "loss", 1.0)]


def test_environments_and_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    write(tmp_path / ".hidden")
    write(tmp_path / "env" / "lib")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    wanted = write(tmp_path / "runs")
    assert find_event_files(str(tmp_path), since=None) == [str(wanted)]


def test_a_search_made_ahead_knows_what_was_there_then(tmp_path: Path) -> None:
    first, search = write(tmp_path / "a"), EventSearch(str(tmp_path))
    search.look()
    later = write(tmp_path / "b")
    assert search.files(since=None) == [str(first)]
    assert EventSearch(str(tmp_path)).files(since=None) == [str(first), str(later)]
    first.unlink()
    assert search.files(since=None, known=[str(later)]) == [str(later)]


def test_a_run_gets_the_curves_it_wrote_and_not_those_of_the_run_before(repo: GitRepo) -> None:
    repo.write(".gitignore", "runs/\n*.bin\n")
    for name, value in (("one", 0.5), ("two", 0.25)):
        (repo.top / "events.bin").write_bytes(event(1, simple(f"loss_{name}", value)))
        script = f"mkdir -p runs/{name}; cat events.bin > runs/{name}/events.out.tfevents.1; echo accuracy: 0.9"
        assert replicate("start", "-q", "-e", name, "--", "sh", "-c", script, cwd=repo.top).returncode == 0
    ref = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/two/")
    text = repo.git("show", f"{ref}:.replicate/run.toml")
    assert "loss_two = 0.25" in text
    assert 'loss_two = "tensorboard"' in text
    assert "loss_one" not in text
    assert "accuracy =" not in text
    assert repo.git("show", f"{ref}:.replicate/metrics.csv").splitlines()[1] == "1,,loss_two,0.25"


def test_what_the_real_writer_writes(tmp_path: Path) -> None:
    module = pytest.importorskip("tensorboardX")
    writer = module.SummaryWriter(str(tmp_path / "run"))
    for step in range(100):
        writer.add_scalar("train/loss", 1 / (step + 1), step)
    writer.add_text("text", "words", 1)
    writer.close()
    points, notices = read(tmp_path, None)
    assert notices == []
    assert [point.step for point in points if point.metric == "train/loss"] == list(range(100))
    assert {point.metric for point in points} == {"train/loss"}


def test_a_file_of_tensorboards_own_writer(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    event_pb2, scalars, writers = (
        importlib.import_module(f"tensorboard.{name}")
        for name in ("compat.proto.event_pb2", "plugins.scalar.summary_v2", "summary.writer.event_file_writer")
    )
    writer = writers.EventFileWriter(str(tmp_path))
    for step in range(5):
        writer.add_event(
            event_pb2.Event(wall_time=101.0 + step, step=step, summary=scalars.scalar_pb("acc", step / 10))
        )
    writer.close()
    assert read(tmp_path)[0] == [Point(n, 1.0 + n, "acc", n / 10) for n in range(5)]
