"""report.html: one file that holds all it shows, without scripts; nothing of it is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ...text import format_signed, harmless, pluralize
from ..drift import update_lines
from . import figures, marginals
from . import selection as candidates
from .clusters import draw_merging
from .colours import LEFT_OUT, text_on
from .component_table import component_table
from .convergence import convergence
from .correlations import MAX_COMPONENTS, MAX_FEATURES, correlations
from .images import Picture, pictures
from .loadings import loadings
from .missing import missing_values, not_at_random
from .narrative import duration, headline, share_of_sure, summary, warnings
from .pairs import pairs
from .report_data import ReportData
from .scatter import density
from .svg import Drawing, style

_MAX_STEPS = 6  # of features, that are listed
_MIB = 2**20


def page(data: ReportData) -> str:
    """Return the report as HTML."""
    return render("report.html", contents(data))


def render(template: str, shown: Mapping[str, Any]) -> str:
    """Return a template with its contents filled in."""
    environment = Environment(loader=PackageLoader("daskgmm.report.html"), autoescape=True, trim_blocks=True)
    environment.filters["svg"] = lambda drawing: Markup(drawing.svg)  # noqa: S704 # its texts were escaped as drawn
    return harmless(environment.get_template(template).render(shown))


def contents(data: ReportData) -> dict[str, Any]:
    """Return all that the template shows."""
    with style():
        drawings = Drawings.of(data)
    return {
        "headline": headline(data),
        "summary": summary(data),
        "warnings": [*warnings(data), *not_at_random(data)],
        "notices": data.record.course.notices,
        "updates": [one.strip() for one in update_lines(data.history)],
        "tiles": _tiles(data),
        "strip": _strip(data),
        "drawings": drawings,
        "pictures": drawings.pictures,
        "table": component_table(data),
        "missing": missing_values(data),
        "sweep": candidates.table(data.selection),
        "loads": _loads(data),
        "facts": _facts(data),
        "configuration": data.configuration,
        "notes": _notes(data),
        "of_run": data.of_run,
        "sampled": data.sampled,
    }


@dataclass(frozen=True)
class Drawings:
    """All figures and pictures of a page."""

    pictures: tuple[Picture, ...]
    main: tuple[Drawing, ...]
    wide: tuple[Drawing, ...]  # across the page
    marginals: tuple[Drawing, ...]
    correlations: tuple[Drawing, ...]
    selection: tuple[Drawing, ...]
    phases: Drawing | None

    @classmethod
    def of(cls, data: ReportData) -> Drawings:
        """Draw them."""
        return cls(
            pictures(data),
            tuple(drawing for drawing in (draw(data) for draw in _MAIN) if drawing is not None),
            tuple(drawing for drawing in (draw(data) for draw in _WIDE_SECTIONS) if drawing is not None),
            marginals.marginals(data),
            correlations(data),
            candidates.curves(data.selection),
            figures.phases(data),
        )


_MAIN = (marginals.only_feature, density, figures.overlap, draw_merging, convergence, figures.certainty, loadings)
_WIDE_SECTIONS = (pairs,)


def _tiles(data: ReportData) -> list[tuple[str, str]]:
    summary = data.model.summary
    sure = share_of_sure(data)
    tiles = [
        ("log-likelihood / row", f"{summary.log_likelihood:.4f}"),
        ("BIC", f"{summary.bic:,.0f}"),
        ("ICL", f"{summary.icl:,.0f}"),
        *([] if sure is None else [("certain labels", f"{100 * sure:.0f} %")]),
        *_of_posterior(data),
        (f"passes over {data.passed}", str(summary.n_iter + 1)),
        *_of_time(data),
    ]
    return [(name, format_signed(value)) for name, value in tiles]


def _of_time(data: ReportData) -> list[tuple[str, str]]:
    """Return the tile of the whole job's time, if it is known."""
    spans = data.record.course.spans
    words = duration(sum(span.seconds for span in spans))
    short = words.replace(" seconds", " s").replace(" minutes", " min").replace(" hours", " h")
    return [("time", short)] if spans else []


def _of_posterior(data: ReportData) -> list[tuple[str, str]]:
    """Return the tiles of a variational fit."""
    posterior, summary = data.model.posterior, data.model.summary
    if posterior is None:
        return []
    in_use = f"{posterior.n_in_use(summary.weight_sum)} of {len(posterior.shares)}"
    return [("evidence lower bound", f"{summary.evidence_lower_bound:,.0f}"), ("components in use", in_use)]


def _strip(data: ReportData) -> list[dict[str, Any]]:
    """Return the components, heaviest first, and the noise, if there is any, as parts of a bar."""
    weights, noise = data.mixture.weights, data.mixture.noise
    parts = [_part(int(one), data.colours[one], weights[one]) for one in data.by_weight if weights[one] > 0]
    return parts if noise is None else [*parts, _part("noise", LEFT_OUT, noise.weight)]


def _part(name: int | str, colour: str, weight: float) -> dict[str, Any]:
    return {
        "number": name,
        "colour": colour,
        "ink": text_on(colour),
        "percent": f"{100 * weight:.3f}",
        "wide": bool(weight >= 0.035),
    }


def _loads(data: ReportData) -> list[tuple[str, str, str, str]]:
    return [
        (load.name, str(load.threads), f"{load.cpu_seconds:.1f} s", f"{load.resident_bytes / _MIB:,.0f} MiB")
        for load in data.record.course.loads
    ]


def _facts(data: ReportData) -> list[tuple[str, str]]:
    beginning, course, mixture, found = data.record.beginning, data.record.course, data.mixture, data.model.summary
    grid = " × ".join(f"{size:,}" for size in beginning.grid)
    noise = "" if mixture.noise is None else " and noise"
    chunk = " × ".join(f"{size:,}" for size in beginning.chunk)
    return [
        ("data", beginning.description),
        ("shape", f"{grid} rows × {pluralize(data.model.n_features, 'feature')}, {beginning.dtype}"),
        *_reduction(data),
        ("chunks", f"{beginning.n_chunks:,} of at most {chunk}"),
        ("rows that count", f"{beginning.n_rows:,}, of weight {found.weight_sum:,.10g}"),
        ("fingerprint of the data", beginning.fingerprint),
        ("model", f"{mixture.n_components} × {mixture.covariance_type}{noise}, {mixture.n_parameters:,} parameters"),
        ("resolution", _resolution(data)),
        ("log-likelihood in all", format_signed(f"{found.log_likelihood * found.weight_sum:,.3f}")),
        (
            "AIC, AICc, BIC, ICL",
            format_signed(", ".join(f"{one:,.3f}" for one in (found.aic, found.aicc, found.bic, found.icl))),
        ),
        ("stopped", found.stop_reason),
        *([] if data.seed is None else [("seed", str(data.seed))]),
        ("began" if data.of_run else "drawn", course.started),
        *([("computed on", course.place)] if course.place else []),
        ("versions", ", ".join(f"{name} {one}" for name, one in course.versions.items())),
    ]


def _reduction(data: ReportData) -> list[tuple[str, str]]:
    """Return the facts about a mixture of principal components."""
    projection = data.model.projection
    if projection is None:
        return []
    what = f"{pluralize(projection.n_features, 'principal component')} (pc0, pc1, ...) of the scaled features"
    return [("reduced to", f"{what}: log-likelihood, criteria and separations are of the projection")]


def _resolution(data: ReportData) -> str:
    """Return the steps that limit how narrow a component can be, of each feature that has one."""
    found = [(name, step) for name, step in zip(data.names, data.record.beginning.steps, strict=False) if step]
    if not found:
        return "continuous"
    listed = ", ".join(f"{name} {step:.6g}" for name, step in found[:_MAX_STEPS])
    more = f" and {len(found) - _MAX_STEPS} more" if len(found) > _MAX_STEPS else ""
    return f"steps of {listed}{more}: no component is narrower than their rounding"


def _notes(data: ReportData) -> dict[str, str]:
    """Return the notes on what the table and the figures leave out."""
    k, d = data.mixture.n_components, data.model.n_features
    shown, drawn, rows = len(data.shown_features), len(data.drawn_features), len(data.shown_components)
    notes = {}
    if k > rows:
        notes["components"] = f"The {rows} heaviest of {k} components are listed; all are in model.zarr."
        notes["curves"] = f"The {rows} heaviest of {k} components have curves of their own."
    if d > shown:
        notes["features"] = f"The {shown} features of {d} in which the components differ most are listed."
    if (n := data.mixture.n_features) > drawn:
        notes["marginals"] = f"The {drawn} features of {n} in which the components differ most are drawn."
    if k > MAX_COMPONENTS or n > MAX_FEATURES:
        notes["correlations"] = (
            f"Shown are at most the {MAX_COMPONENTS} heaviest components and the {MAX_FEATURES} features in which "
            "components differ most."
        )
    if len(data.compared) < k - len(data.mixture.empty):
        notes["compared"] = f"Separations are among the {len(data.compared)} heaviest components."
    if not len(data.rows):
        notes["sample"] = "No rows were kept for this report (output.report_rows: 0), so it has no picture of them."
    return notes
