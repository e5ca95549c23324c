"""Every number of one report, recomputed from the rows and the stored parameters by SciPy and plain sums."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from daskgmm.config import load_config
from daskgmm.jobs import fit as job
from daskgmm.storage.formats.model import load_model
from daskgmm.storage.formats.provenance import load_record

N_ROWS, N_COMPONENTS, N_FEATURES = 900, 3, 3
MINUS = "\N{MINUS SIGN}"
SKIPPED = {"style", "svg", "pre", "title", "summary"}


class Prose(HTMLParser):
    """What a page says outside of its figures."""

    def __init__(self, html):
        super().__init__()
        self.skipping, self.words = 0, []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.skipping += tag in SKIPPED

    def handle_endtag(self, tag):
        self.skipping -= tag in SKIPPED

    def handle_data(self, data):
        if not self.skipping:
            self.words.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES))
    centres = np.array([[0.0, 0, 0], [6, 1, -2], [1, 7, 3]])
    parts = [rng.normal(size=(n, 3)) @ a + c for n, a, c in zip((450, 300, 150), mix, centres, strict=True)]
    np.save(folder / "rows.npy", np.concatenate(parts))
    (folder / "job.yaml").write_text(yaml.safe_dump({"data": {"path": str(folder / "rows.npy")}}))
    options = ("model.n_components=3", "fit.n_init=2", f"output.directory={folder / 'run'}")
    job.fit(load_config(str(folder / "job.yaml"), options), lambda event: None)
    return folder / "run"


def recomputed(run):
    """Return all numbers of the mixture that a report shows, from the rows and the stored parameters alone."""
    rows, mixture = np.load(run.parent / "rows.npy"), load_model(run).mixture
    weights, means, covariances = mixture.weights, mixture.means, mixture.covariances
    log_joint = np.column_stack(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
            for weight, mean, covariance in zip(weights, means, covariances, strict=True)
        ]
    )
    log_density = logsumexp(log_joint, axis=1)
    resp = np.exp(log_joint - log_density[:, None])
    entropies = -np.sum(resp * np.log(np.maximum(resp, 1e-300)), axis=1)
    labels, p = log_joint.argmax(axis=1), N_COMPONENTS - 1 + N_COMPONENTS * (N_FEATURES + N_FEATURES * 4 // 2)
    total = log_density.sum()
    aic, bic = 2 * p - 2 * total, p * np.log(N_ROWS) - 2 * total
    deviations = np.sqrt(np.array([np.diag(covariance) for covariance in covariances]))
    centre = weights @ means
    return {
        "rows": rows,
        "weights": weights,
        "means": means,
        "deviations": deviations,
        "counts": np.bincount(labels, minlength=N_COMPONENTS),
        "entropies": [entropies[labels == one].mean() for one in range(N_COMPONENTS)],
        "mean": total / N_ROWS,
        "total": total,
        "parameters": p,
        "criteria": (aic, aic + 2 * p * (p + 1) / (N_ROWS - p - 1), bic, bic + 2 * entropies.sum()),
        "sure": 100 * (resp.max(axis=1) >= 0.9).mean(),
        "distances": distances_of(means, covariances),
        "separation": (weights @ (means - centre) ** 2) / (weights @ deviations**2),
    }


def distances_of(means, covariances):
    """Return the Bhattacharyya distance of each pair of components, infinite on the diagonal."""
    distances = np.full((N_COMPONENTS, N_COMPONENTS), np.inf)
    for i, j in np.argwhere(~np.eye(N_COMPONENTS, dtype=bool)):
        between, mean = means[i] - means[j], (covariances[i] + covariances[j]) / 2
        logs = [np.log(np.linalg.det(one)) for one in (mean, covariances[i], covariances[j])]
        distances[i, j] = between @ np.linalg.inv(mean) @ between / 8 + (logs[0] - (logs[1] + logs[2]) / 2) / 2
    return distances


def signed(number):
    return number.replace("-", MINUS)


def in_two_digits(mean, deviation):
    """Return mean and deviation down to the second digit of the deviation."""
    decimals = max(1 - int(np.floor(np.log10(deviation))), 0)
    rounded = round(mean, decimals) + 0.0  # no negative zero
    return f"{signed(f'{rounded:.{decimals}f}')} ± {deviation:.{decimals}f}"


def phrases(run):
    """Return all that a report says in numbers, in the order in which it does."""
    found, record, passes = recomputed(run), load_record(run / "record.zarr"), metrics(run)
    aic, aicc, bic, icl = found["criteria"]
    first, last = (signed(f"{passes[at]['log_likelihood']:.7g}") for at in (0, -1))
    order = np.argsort(-found["weights"])
    separating = np.argsort(-found["separation"])
    closest = sorted(int(one) for one in np.unravel_index(found["distances"].argmin(), (3, 3)))
    percents = [f"{100 * found['weights'][order[at]]:.0f} percent" for at in (0, -1)]
    sure, mean, total = f"{found['sure']:.0f}", signed(f"{found['mean']:.4f}"), signed(f"{found['total']:,.3f}")
    seconds = sum(span.seconds for span in record.course.spans)
    yield "3 clusters in 900 rows A mixture of 3 Gaussians of full covariance was fitted to 900 rows of 3 features"
    yield f"({run.parent / 'rows.npy'}). EM converged after {len(passes)} pass"
    yield f"the whole job took {seconds:.1f} seconds."
    yield f"The largest cluster, {order[0]}, holds {percents[0]} of the rows, the smallest, {order[-1]}, {percents[1]}."
    yield f"They differ most in x{separating[0]} and x{separating[1]}."
    overlap = np.exp(-found["distances"].min())
    yield f"the closest are {closest[0]} and {closest[1]}, with an overlap of {overlap:.2f}."
    yield f"{sure} percent of the rows belong to their cluster with a probability of 0.9 or more."
    yield " ".join(str(one) for one in order)
    yield f"log-likelihood / row {mean} BIC {bic:,.0f} ICL {icl:,.0f}"
    yield f"certain labels {sure} % passes over all rows {len(passes)} time {seconds:.1f} s"
    yield "with 900 sampled rows: a hexagon"
    yield "0 where they lie apart, 1 where they are the same"
    yield f"Left: {sum(one.stage == 'restart' for one in record.beginning.curves)} restarts"
    yield f"from {first} to {last} nats per row" if first != last else f"{len(passes)} passes, at {last} nats per row"
    yield f"Of 900 sampled rows {sure} percent belong to their component with a probability of 0.9 or more"
    yield "with 900 sampled rows: a hexagon"
    yield "x0 x1 x2"
    for one in order:
        nearest = int(found["distances"][one].argmin())
        distance = found["distances"][one, nearest]
        yield f"{one} {found['weights'][one]:.4f} {found['weights'][one] * N_ROWS:,.0f} {found['counts'][one]:,}"
        yield f"{nearest} {distance:.2f} overlap {np.exp(-distance):.2f} {found['entropies'][one]:.2f}"
        pairs = zip(found["means"][one], found["deviations"][one], strict=True)
        yield " ".join(in_two_digits(mean, deviation) for mean, deviation in pairs)
    yield "0 where all are certain"
    for i in range(N_FEATURES):
        low, high = (signed(f"{end(found['rows'][:, i]):.5g}") for end in (np.min, np.max))
        yield f"x{i} Distribution of x{i}, from {low} to {high}"
    for one in order:
        yield f"component {one} Correlation of each pair of features within component {one}."
    yield f"{seconds:.1f} seconds in all:"
    for span in record.course.spans:
        yield f"{span.name} {'under 0.01' if span.seconds < 0.01 else f'{span.seconds:.2g}'} s"
    for load in record.course.loads:
        yield f"{load.name} {load.threads} {load.cpu_seconds:.1f} s {load.resident_bytes / 2**20:,.0f} MiB"
    yield f"{run.parent / 'rows.npy'} shape 900 rows × 3 features, float64 chunks 1 of at most 900 × 3"
    yield f"rows that count 900, of weight 900 fingerprint of the data {record.beginning.fingerprint}"
    yield f"model 3 × full, {found['parameters']} parameters"
    yield f"log-likelihood in all {total}"
    yield f"AIC, AICc, BIC, ICL {', '.join(signed(f'{one:,.3f}') for one in (aic, aicc, bic, icl))}"
    yield f"seed 0 began {record.course.started} computed on {record.course.place}"
    yield ", ".join(f"{name} {one}" for name, one in record.course.versions.items())


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_every_number_outside_of_the_figures_is_that_of_the_rows_and_the_parameters(run):
    """What is recomputed is taken out of the text in its order; no digit is left then."""
    rest, at = Prose((run / "report.html").read_text()).text, 0
    for phrase in phrases(run):
        place = rest.find(phrase, at)
        assert place >= 0, f"{phrase!r} is not in {rest[at : at + 300]!r}"
        rest, at = rest[:place] + rest[place + len(phrase) :], place
    assert re.findall(r"\S*\d\S*", rest) == []


def figure(html, name):
    """Return the texts of a figure."""
    drawing = html.partition(f'aria-labelledby="{name}-title')[2].partition("</svg>")[0]
    return [" ".join(one.split()) for one in re.findall(r"<text[^>]*>(.*?)</text>", drawing, flags=re.DOTALL)]


def test_overlaps_and_correlations_in_the_figures_are_those_of_the_parameters(run):
    html, found = (run / "report.html").read_text(), recomputed(run)
    overlaps = np.exp(-found["distances"])
    shown = [one for one in figure(html, "overlap") if re.fullmatch(r"0|\.\d\d", one)]
    expected = ["0" if one < 0.005 else f"{one:.2f}"[1:] for one in overlaps[~np.eye(3, dtype=bool)]]
    assert [one for one in shown if one != "0"] == [one for one in expected if one != "0"]
    for component, covariance in enumerate(load_model(run).mixture.covariances):
        deviations = np.sqrt(np.diag(covariance))
        correlations = (covariance / np.outer(deviations, deviations))[~np.eye(3, dtype=bool)]
        texts = [signed(f"{one:.2f}".replace("0.", ".")) for one in correlations]
        assert [one for one in figure(html, f"correlations-{component}") if "." in one] == texts
