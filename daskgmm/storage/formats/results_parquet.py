"""Results of a table's rows: a table again, one parquet file for each region, with the key columns of the rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from ...core.scoring.prediction import Prediction
from ...filesystem.checksums import Checksum
from ...filesystem.guards import Guard, guard_of
from ...filesystem.location import guard_write, make_directory, write_at_once
from ...filesystem.retry import retry, sendable
from ...sources.base import Keys
from ..run.finished_parts import Region, mark_done
from ..run.staging import Unfinished
from ..schema import FORMAT_VERSION, TABLE
from .results_zarr import ResultKinds


@dataclass(frozen=True)
class TableWriter:
    """Writes the results of a region from wherever it runs, to a file that sorts in the order of the rows."""

    folder: Path
    kinds: ResultKinds
    keys: Keys
    attributes: dict[str, Any]
    guard: Guard | None

    @classmethod
    def create(cls, work: Unfinished, kinds: ResultKinds, keys: Keys, attributes: dict[str, Any]) -> TableWriter:
        """Return the writer to a folder that is made for it, or that an interrupted job left."""
        with guard_write(work.path):
            make_directory(work.path / TABLE)
        described = {"daskgmm_kind": "results", "daskgmm_format": FORMAT_VERSION, **attributes}
        return cls(work.path, kinds, keys, described, guard_of(work.path))

    def __call__(self, region: Region, prediction: Prediction) -> None:
        import pyarrow as pa  # an optional backend: the source was a table, so it is there

        (rows,) = region
        keys = self.keys(rows.start, rows.stop)
        columns = {name: keys[name] for name in keys.column_names} | self._columns(prediction)
        table = pa.table(columns).replace_schema_metadata({"daskgmm": json.dumps(self.attributes)})
        with sendable(), guard_write(self.folder, self.guard):
            retry(lambda: self._write(region, table))

    def _write(self, region: Region, table: Any) -> None:
        import pyarrow.parquet as pq

        file, name = BytesIO(), f"{TABLE}/part-{region[0].start:015d}.parquet"
        pq.write_table(table, file)
        content = file.getvalue()
        with write_at_once(self.folder / name) as path:
            path.write_bytes(content)
        mark_done(self.folder, region, {name: Checksum.of(content)})

    def _columns(self, prediction: Prediction) -> dict[str, Any]:
        """Return the results by the names of their columns, one for each component or rank."""
        columns: dict[str, Any] = {}
        for specs in self.kinds.specs.values():
            for spec in specs:
                values = self.kinds.values(spec, prediction)
                names = self.kinds.columns(spec)
                columns.update(zip(names, values.reshape(len(values), -1).T, strict=True))
        return columns
