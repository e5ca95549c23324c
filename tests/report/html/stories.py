"""Stories for reports: fits that were not made, of any shape."""

from __future__ import annotations

import numpy as np

from daskgmm.core.em.fitted_model import FitSummary, Model
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.selection.table import Row, Selection, evidence
from daskgmm.provenance import DataInfo, PhaseTiming, Record, RunInfo, TrialHistory, WorkerUsage
from daskgmm.report.html.report_data import ReportData

CURVES = (
    TrialHistory("restart", (-9.0, -3.0, -2.5), "CONVERGED", chosen=True),
    TrialHistory("restart", (-8.0, -3.5, -2.5), "CONVERGED"),
    TrialHistory("finalist", (-2.5, -2.4), "CONVERGED"),
)


def mixture(k, d, covariance_type="full", *, apart=4.0, seed=0):
    rng = np.random.default_rng(seed)
    shape = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[covariance_type]
    eye = {"full": np.eye(d), "tied": np.eye(d), "diag": 1.0, "spherical": 1.0}[covariance_type]
    weights = rng.dirichlet(np.full(k, 5.0))
    return Mixture(covariance_type, weights, apart * rng.normal(size=(k, d)), np.broadcast_to(eye, shape).copy())


def data(of, rows=None, *, names=None, converged=True, n_rows=10_000, **more):
    """Return the report data of a mixture; by default with rows drawn from it."""
    d = of.n_features
    rows = of.sample(600, np.random.default_rng(1))[0] if rows is None else rows
    stop = "converged" if converged else "stopped at max_iter before convergence: raise max_iter"
    summary = FitSummary(-2.4, float(n_rows), 1.0, 2.0, 3.0, 3, converged, stop, of.empty)
    beginning = DataInfo(
        description="rows that were drawn",
        grid=more.pop("grid", (n_rows,)),
        dtype=str(rows.dtype),
        chunk=(n_rows, d),
        n_chunks=1,
        n_rows=n_rows - more.pop("n_left_out", 0),
        fingerprint="0123456789abcdef",
        minimum=rows.min(axis=0) if len(rows) else -np.ones(d),
        maximum=rows.max(axis=0) if len(rows) else np.ones(d),
        rows=rows,
        row_weights=more.pop("row_weights", None),
        curves=more.pop("curves", CURVES),
        least=more.pop("least", ()),
        steps=more.pop("steps", ()),
    )
    course = RunInfo(
        curves=(TrialHistory("rows", (-2.42, -2.41, -2.4), "CONVERGED", chosen=True),),
        spans=(PhaseTiming("read", "", 0.5), PhaseTiming("fit", "EM", 2.0)),
        loads=(WorkerUsage("this process", 2, 3.5, 2**28),),
        notices=more.pop("notices", ()),
        place="2 threads of this process",
        started="2026-01-02T03:04:05+00:00",
        versions={"python": "3.11"},
    )
    return ReportData(Model(of, names, summary), Record(beginning, course), "data:\n  path: here\n", 0, **more)


def sweep(best, bics, criterion="bic", more=()):
    """Return the table of a sweep from the BIC of its candidates by their names, and more rows."""
    least = min(bics.values())
    rows = tuple(
        Row(
            name,
            name.partition("-")[0],
            int(name.partition("-")[2]),
            5,
            mean_log_likelihood=-bic / 10,
            bic=bic,
            criterion=bic,
            delta=bic - bics[best],
            delta_bic=bic - least,
            evidence=evidence(bic - least) if bic > least else None,
        )
        for name, bic in bics.items()
    )
    return Selection(criterion, best, (*rows, *more), {"full": 2, "diag": None}, 100.0)
