"""What a terminal is asked and told: sizes, modes, who is in the foreground."""

from __future__ import annotations

import fcntl
import os
import stat
import termios
import tty
from typing import Any


def size_of(descriptor: int) -> bytes | None:
    """The window size as the kernel packs it, or None where there is none."""
    try:
        return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return None


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another; the kernel tells the programs in it."""
    if size := size_of(source):
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def modes_of(descriptor: int) -> list[Any] | None:
    try:
        return termios.tcgetattr(descriptor)
    except termios.error:
        return None


def set_modes(descriptor: int, modes: list[Any] | None) -> None:
    """Set a terminal's modes; a terminal that has gone away needs none."""
    if modes is not None:
        try:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, modes)
        except termios.error:
            return


def set_raw(descriptor: int) -> None:
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
    except termios.error:
        return


def leave_output_alone(descriptor: int) -> None:
    """Make a pseudo-terminal pass output on as it is: the real terminal behind it does the rest."""
    modes = termios.tcgetattr(descriptor)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(descriptor, termios.TCSANOW, modes)


def interrupts(master: int, data: bytes) -> bool:
    """Whether the pseudo-terminal will make an interrupt of what is typed into it."""
    modes = modes_of(master)
    return modes is not None and bool(modes[3] & termios.ISIG) and modes[6][termios.VINTR] in data


def foreground_of(descriptor: int) -> int | None:
    """The process group in the foreground of a terminal; None if it is not ours to ask."""
    try:
        return os.tcgetpgrp(descriptor)
    except OSError:
        return None


def in_foreground(descriptor: int) -> bool:
    return foreground_of(descriptor) == os.getpgrp()


def give_foreground(descriptor: int, group: int) -> None:
    """Put a group in the foreground; the caller has SIGTTOU blocked or ignored."""
    try:
        os.tcsetpgrp(descriptor, group)
    except OSError:
        return


def take_as_controlling(descriptor: int) -> None:
    """Make a terminal the controlling one of this session, whose leader the caller is."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def is_fifo(number: int) -> bool:
    """Whether a descriptor is a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(number).st_mode)
    except OSError:
        return False


def may_wait(number: int) -> bool:
    """Whether who writes to an open file may have to wait for its reader."""
    try:
        status = os.fstat(number)
        return not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull))
    except OSError:
        return False


def same_file(first: int, second: int) -> bool:
    """Whether two descriptors are of one file."""
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        return False
