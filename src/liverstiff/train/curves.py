"""The history for TensorBoard while training goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liverstiff.train.checkpoint import Epoch


@contextmanager
def curves(folder: Path | None) -> Iterator[Callable[[Epoch], None]]:
    """Something to call after each epoch, which writes its figures as scalars below ``folder``; None writes nothing.

    A training that goes on adds to what is there, one that begins anew clears it.
    """
    writer: Any = None

    def write(row: Epoch) -> None:
        nonlocal writer
        if folder is None:
            return
        if writer is None:
            from tensorboardX import SummaryWriter

            if row.epoch == 1:
                shutil.rmtree(folder, ignore_errors=True)
            writer = SummaryWriter(str(folder))
        for name, value in asdict(row).items():
            if name != "epoch":
                writer.add_scalar(name, value, row.epoch)
        writer.flush()

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
