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
from .correlations import MOST_COMPONENTS, MOST_FEATURES, correlations
from .images import Picture, pictures
from .loadings import loadings
from .missing import missing_values, not_at_random
from .narrative import duration, headline, share_of_sure, summary, warnings
from .pairs import pairs
from .report_data import Story
from .scatter import density
from .svg import Drawing, style

_MOST_STEPS = 6  # of features, that are listed
_MIB = 2**20


def page(story: Story) -> str:
    """Return the report as HTML."""
    return render("report.html", contents(story))


def render(template: str, shown: Mapping[str, Any]) -> str:
    """Return a template with its contents filled in."""
    environment = Environment(loader=PackageLoader("daskgmm.report.html"), autoescape=True, trim_blocks=True)
    environment.filters["svg"] = lambda drawing: Markup(drawing.svg)  # noqa: S704 # its texts were escaped as drawn
    return harmless(environment.get_template(template).render(shown))


def contents(story: Story) -> dict[str, Any]:
    """Return all that the template shows."""
    with style():
        drawings = Drawings.of(story)
    return {
        "headline": headline(story),
        "summary": summary(story),
        "warnings": [*warnings(story), *not_at_random(story)],
        "notices": story.record.course.notices,
        "updates": [one.strip() for one in update_lines(story.history)],
        "tiles": _tiles(story),
        "strip": _strip(story),
        "drawings": drawings,
        "pictures": drawings.pictures,
        "table": component_table(story),
        "missing": missing_values(story),
        "sweep": candidates.table(story.selection),
        "loads": _loads(story),
        "facts": _facts(story),
        "configuration": story.configuration,
        "notes": _notes(story),
        "of_run": story.of_run,
        "sampled": story.sampled,
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
    def of(cls, story: Story) -> Drawings:
        """Draw them."""
        return cls(
            pictures(story),
            tuple(drawing for drawing in (draw(story) for draw in _MAIN) if drawing is not None),
            tuple(drawing for drawing in (draw(story) for draw in _WIDE) if drawing is not None),
            marginals.marginals(story),
            correlations(story),
            candidates.curves(story.selection),
            figures.phases(story),
        )


_MAIN = (marginals.only_feature, density, figures.overlap, draw_merging, convergence, figures.certainty, loadings)
_WIDE = (pairs,)


def _tiles(story: Story) -> list[tuple[str, str]]:
    summary = story.model.summary
    sure = share_of_sure(story)
    tiles = [
        ("log-likelihood / row", f"{summary.log_likelihood:.4f}"),
        ("BIC", f"{summary.bic:,.0f}"),
        ("ICL", f"{summary.icl:,.0f}"),
        *([] if sure is None else [("certain labels", f"{100 * sure:.0f} %")]),
        *_of_posterior(story),
        ("passes over all rows", str(summary.n_iter + 1)),
        *_of_time(story),
    ]
    return [(name, format_signed(value)) for name, value in tiles]


def _of_time(story: Story) -> list[tuple[str, str]]:
    """Return the tile of the whole job's time, if it is known."""
    spans = story.record.course.spans
    words = duration(sum(span.seconds for span in spans))
    short = words.replace(" seconds", " s").replace(" minutes", " min").replace(" hours", " h")
    return [("time", short)] if spans else []


def _of_posterior(story: Story) -> list[tuple[str, str]]:
    """Return the tiles of a variational fit."""
    posterior, summary = story.model.posterior, story.model.summary
    if posterior is None:
        return []
    in_use = f"{posterior.n_in_use(summary.weight_sum)} of {len(posterior.shares)}"
    return [("evidence lower bound", f"{summary.evidence_lower_bound:,.0f}"), ("components in use", in_use)]


def _strip(story: Story) -> list[dict[str, Any]]:
    """Return the components, heaviest first, and the noise, if there is any, as parts of a bar."""
    weights, noise = story.mixture.weights, story.mixture.noise
    parts = [_part(int(one), story.colours[one], weights[one]) for one in story.by_weight if weights[one] > 0]
    return parts if noise is None else [*parts, _part("noise", LEFT_OUT, noise.weight)]


def _part(name: int | str, colour: str, weight: float) -> dict[str, Any]:
    return {
        "number": name,
        "colour": colour,
        "ink": text_on(colour),
        "percent": f"{100 * weight:.3f}",
        "wide": bool(weight >= 0.035),
    }


def _loads(story: Story) -> list[tuple[str, str, str, str]]:
    return [
        (load.name, str(load.threads), f"{load.cpu_seconds:.1f} s", f"{load.resident_bytes / _MIB:,.0f} MiB")
        for load in story.record.course.loads
    ]


def _facts(story: Story) -> list[tuple[str, str]]:
    beginning, course, mixture, found = story.record.beginning, story.record.course, story.mixture, story.model.summary
    grid = " × ".join(f"{size:,}" for size in beginning.grid)
    noise = "" if mixture.noise is None else " and noise"
    chunk = " × ".join(f"{size:,}" for size in beginning.chunk)
    return [
        ("data", beginning.description),
        ("shape", f"{grid} rows × {pluralize(story.model.n_features, 'feature')}, {beginning.dtype}"),
        *_reduction(story),
        ("chunks", f"{beginning.n_chunks:,} of at most {chunk}"),
        ("rows that count", f"{beginning.n_rows:,}, of weight {found.weight_sum:,.10g}"),
        ("fingerprint of the data", beginning.fingerprint),
        ("model", f"{mixture.n_components} × {mixture.covariance_type}{noise}, {mixture.n_parameters:,} parameters"),
        ("resolution", _resolution(story)),
        ("log-likelihood in all", format_signed(f"{found.log_likelihood * found.weight_sum:,.3f}")),
        (
            "AIC, AICc, BIC, ICL",
            format_signed(", ".join(f"{one:,.3f}" for one in (found.aic, found.aicc, found.bic, found.icl))),
        ),
        ("stopped", found.stop_reason),
        *([] if story.seed is None else [("seed", str(story.seed))]),
        ("began" if story.of_run else "drawn", course.started),
        *([("computed on", course.place)] if course.place else []),
        ("versions", ", ".join(f"{name} {one}" for name, one in course.versions.items())),
    ]


def _reduction(story: Story) -> list[tuple[str, str]]:
    """Return what is said of a mixture of principal components."""
    projection = story.model.projection
    if projection is None:
        return []
    what = f"{pluralize(projection.n_features, 'principal component')} (pc0, pc1, ...) of the scaled features"
    return [("reduced to", f"{what}: log-likelihood, criteria and separations are of the projection")]


def _resolution(story: Story) -> str:
    """Return the steps that limit how narrow a component can be, of each feature that has one."""
    found = [(name, step) for name, step in zip(story.names, story.record.beginning.steps, strict=False) if step]
    if not found:
        return "continuous"
    listed = ", ".join(f"{name} {step:.6g}" for name, step in found[:_MOST_STEPS])
    more = f" and {len(found) - _MOST_STEPS} more" if len(found) > _MOST_STEPS else ""
    return f"steps of {listed}{more}: no component is narrower than their rounding"


def _notes(story: Story) -> dict[str, str]:
    """Return what is left out of the table and the figures, where there is too much."""
    k, d = story.mixture.n_components, story.model.n_features
    shown, drawn, rows = len(story.shown_features), len(story.drawn_features), len(story.shown_components)
    notes = {}
    if k > rows:
        notes["components"] = f"The {rows} heaviest of {k} components are listed; all are in model.zarr."
        notes["curves"] = f"The {rows} heaviest of {k} components have curves of their own."
    if d > shown:
        notes["features"] = f"The {shown} features of {d} in which the components differ most are listed."
    if (n := story.mixture.n_features) > drawn:
        notes["marginals"] = f"The {drawn} features of {n} in which the components differ most are drawn."
    if k > MOST_COMPONENTS or n > MOST_FEATURES:
        notes["correlations"] = (
            f"Shown are at most the {MOST_COMPONENTS} heaviest components and the {MOST_FEATURES} features in which "
            "components differ most."
        )
    if len(story.compared) < k - len(story.mixture.empty):
        notes["compared"] = f"Separations are among the {len(story.compared)} heaviest components."
    if not len(story.rows):
        notes["sample"] = "No rows were kept for this report (output.report_rows: 0), so it has no picture of them."
    return notes
