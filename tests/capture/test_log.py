"""Assembling the output's log."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.capture.log import assemble_log, read_chunks


def test_redrawn_lines_are_kept_in_their_last_state_without_escapes() -> None:
    data = b"a\r\n10%\r50%\r100%\n\x1b[31mred\x1b[0m\n\x1b]0;title\x07x\nbar 1\rbar 2\r\x1b[K\nlast\r"
    assert assemble_log([data]).data == b"a\n100%\nred\nx\nbar 2\nlast"


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\x1b[1m", b"bc\n", b"\xff"]), max_size=30))
@settings(max_examples=80, deadline=None)
def test_how_the_output_is_cut_into_pieces_does_not_matter(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert assemble_log([data]).data == assemble_log(data[i : i + 1] for i in range(len(data))).data


def test_a_long_log_is_cut_in_its_middle_between_lines() -> None:
    lines = [b"line %04d\n" % n for n in range(1_000)]
    log = assemble_log(lines, limit=200)
    assert log.data == (
        b"".join(lines[:10]) + b"[git replicate: 9810 bytes of output were cut here]\n" + b"".join(lines[991:])
    )
    assert log.cut == 9810


def test_a_log_within_the_limit_is_whole_in_any_pieces() -> None:
    data = b"".join(b"line %04d\n" % n for n in range(20))
    assert assemble_log([data], limit=200).data == data
    assert assemble_log((data[i : i + 7] for i in range(0, 200, 7)), limit=200).data == data
    assert assemble_log([], limit=200).data == b""


def test_an_endless_line_is_not_held_in_memory() -> None:
    log = assemble_log((b"x" * 100_000 for _ in range(50)), limit=1_000)
    assert len(log.data) < 1_200
    assert log.cut > 4_900_000


def test_secrets_are_masked() -> None:
    token = b"ghp_" + b"a1B2" * 9
    assert token not in assemble_log([b"using " + token[:10], token[10:] + b"\n"]).data


def test_files_are_read_one_after_the_other_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert b"".join(read_chunks(str(tmp_path / "a"), str(tmp_path / "none"), str(tmp_path / "b"))) == b"12"
