"""Slow and obvious: the equations of DESIGN section 1 as loops over rows and components. Nothing here is from daskgmm.

Differences, exponentials and sums are in np.longdouble (64-bit mantissa on x86), so that an oracle has the right answer
where float64 has lost it; only the solution of the small linear systems is in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LONG = np.longdouble
STRUCTURES = ("full", "tied", "diag", "spherical")


class Parameters(NamedTuple):
    """A mixture in the order of the arguments of daskgmm's Mixture."""

    covariance_type: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


class Step(NamedTuple):
    """What one EM iteration makes of rows and a mixture."""

    resp: np.ndarray  # (n, k), r_nk without row weights
    log_prob: np.ndarray  # (n,), log p(x_n)
    log_likelihood: float
    entropy: float
    parameters: Parameters  # after the M-step


def step(rows, row_weights, parameters) -> Step:
    """Return the E-step and M-step of rows (n, d) with weights (n,) or None; rows of weight 0 are not looked at."""
    rows = np.asarray(rows).astype(LONG)
    row_weights = np.ones(len(rows), LONG) if row_weights is None else np.asarray(row_weights).astype(LONG)
    kept = row_weights != 0
    rows, row_weights = rows[kept], row_weights[kept]
    resp, log_prob = e_step(rows, parameters)
    return Step(
        resp,
        log_prob,
        float(sum(w * one for w, one in zip(row_weights, log_prob, strict=True))),
        float(sum(w * entropy(one) for w, one in zip(row_weights, resp, strict=True))),
        m_step(rows, row_weights, resp, parameters.covariance_type),
    )


def e_step(rows, parameters) -> tuple[np.ndarray, np.ndarray]:
    """Return r_nk, (n, k), and log p(x_n), (n,)."""
    joint = joint_log_prob(rows, parameters)
    log_prob = np.array([log_sum_exp(one) for one in joint])
    return np.exp(joint - log_prob[:, None]), log_prob


def joint_log_prob(rows, parameters) -> np.ndarray:
    """Return log w_k N(x_n | mu_k, Sigma_k), (n, k); minus infinity where w_k = 0."""
    rows = np.asarray(rows).astype(LONG)
    dense = dense_covariances(parameters)
    k, d = parameters.means.shape
    joint = np.empty((len(rows), k), LONG)
    for c in range(k):
        # In units of the component's own standard deviations, so that features of any unit are solved well.
        scale = np.sqrt(np.diagonal(dense[c]))
        correlation = np.asarray(dense[c] / np.outer(scale, scale), float)
        log_det = LONG(np.linalg.slogdet(correlation)[1]) + 2 * np.log(scale).sum()
        for n, row in enumerate(rows):
            z = np.asarray((row - parameters.means[c].astype(LONG)) / scale, float)
            square = LONG(z @ np.linalg.solve(correlation, z))
            joint[n, c] = -(d * np.log(2 * LONG(np.pi)) + log_det + square) / 2
        joint[:, c] += np.log(LONG(parameters.weights[c])) if parameters.weights[c] > 0 else LONG(-np.inf)
    return joint


class MissingStep(NamedTuple):
    """What an E-step makes of rows with missing values, row by row."""

    resp: np.ndarray  # (n, k)
    log_prob: np.ndarray  # (n,), 0 for rows without any value
    entropy: float
    counts: np.ndarray  # (k,), and the sums of expected values about 0; rows without any value are left out
    first: np.ndarray  # (k, d)
    second: np.ndarray  # (k, d, d)
    imputed: np.ndarray  # (n, d)
    variances: np.ndarray  # (n, d)


def missing_step(rows, row_weights, parameters, noise=None) -> MissingStep:
    """Return the E-step of rows (n, d) in which NaN is missing, by the conditional normal of each row and component.

    `noise` (weight, lowest, highest) is a last component, uniform on a box.
    """
    rows, dense = np.asarray(rows, float), np.asarray(dense_covariances(parameters), float)
    (n, d), k = rows.shape, len(parameters.weights)
    n_all = k + (noise is not None)
    joint, filled, left = np.zeros((n, n_all)), np.zeros((n, n_all, d)), np.zeros((n, n_all, d, d))
    for i, row in enumerate(rows):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        for c in range(k):
            difference = row[o] - parameters.means[c][o]
            cov_oo, cov_mo = dense[c][np.ix_(o, o)], dense[c][np.ix_(m, o)]
            square = difference @ np.linalg.solve(cov_oo, difference) if len(o) else 0.0
            log_det = np.linalg.slogdet(cov_oo)[1] if len(o) else 0.0
            joint[i, c] = np.log(parameters.weights[c]) - (len(o) * np.log(2 * np.pi) + log_det + square) / 2
            filled[i, c, o] = row[o]
            filled[i, c, m] = parameters.means[c][m] + cov_mo @ np.linalg.solve(cov_oo, difference)
            left[i, c][np.ix_(m, m)] = dense[c][np.ix_(m, m)] - cov_mo @ np.linalg.solve(cov_oo, cov_mo.T)
        if noise is not None:
            weight, lowest, highest = noise
            joint[i, k] = np.log(weight) - sum(np.log(highest[j] - lowest[j]) for j in o)
            filled[i, k] = np.where(np.isnan(row), (lowest + highest) / 2, row)
            left[i, k][m, m] = (highest - lowest)[m] ** 2 / 12
    log_prob = np.array([log_sum_exp(one) for one in joint])
    resp = np.exp(joint - log_prob[:, None])
    weights = np.ones(n) if row_weights is None else np.asarray(row_weights, float)
    weights = np.where(np.isnan(rows).all(axis=1), 0.0, weights)
    share = weights[:, None] * resp
    mean = np.einsum("nk,nki->ni", resp, filled)
    spread = np.einsum("nk,nki->ni", resp, (filled - mean[:, None]) ** 2 + np.diagonal(left, axis1=2, axis2=3))
    second = np.einsum("nk,nki,nkj->kij", share, filled, filled) + np.einsum("nk,nkij->kij", share, left)
    return MissingStep(
        resp,
        log_prob,
        float(sum(w * entropy(one) for w, one in zip(weights, resp, strict=True))),
        share.sum(axis=0),
        np.einsum("nk,nki->ki", share, filled),
        second,
        mean,
        spread,
    )


def log_sum_exp(values):
    """Return log sum exp of values that are not all minus infinity."""
    largest = max(values)
    return largest + np.log(sum(np.exp(value - largest) for value in values))


def entropy(resp):
    """Return -sum_k r_k log r_k, with 0 log 0 = 0."""
    return -sum(r * np.log(r) for r in resp if r > 0)


def m_step(rows, row_weights, resp, covariance_type) -> Parameters:
    """Return the mixture of the M-step."""
    (n, d), k = rows.shape, resp.shape[1]
    total = sum(row_weights)
    counts = np.array([sum(row_weights[i] * resp[i, c] for i in range(n)) for c in range(k)])
    means, scatters = np.zeros((k, d), LONG), np.zeros((k, d, d), LONG)
    for c in range(k):
        for i in range(n):
            means[c] += row_weights[i] * resp[i, c] * rows[i] / counts[c]
        for i in range(n):
            scatters[c] += row_weights[i] * resp[i, c] * np.outer(rows[i] - means[c], rows[i] - means[c]) / counts[c]
    match covariance_type:
        case "full":
            covariances = np.array(scatters)
        case "tied":
            covariances = sum(counts[c] * scatters[c] for c in range(k)) / total
        case "diag":
            covariances = np.array([np.diagonal(scatter) for scatter in scatters])
        case "spherical":
            covariances = np.array([np.trace(scatter) / d for scatter in scatters])
    return Parameters(covariance_type, counts / total, means, covariances)


def dense_covariances(parameters) -> np.ndarray:
    """Return the covariance matrix of each component, (k, d, d), whatever the structure."""
    (k, d), covariances = parameters.means.shape, np.asarray(parameters.covariances).astype(LONG)
    match parameters.covariance_type:
        case "full":
            return covariances
        case "tied":
            return np.array([covariances] * k)
        case "diag":
            return np.array([np.diag(one) for one in covariances])
        case "spherical":
            return np.array([one * np.eye(d, dtype=LONG) for one in covariances])


def feature_sums(feature_map, points, row_weights, resp, metric) -> np.ndarray:
    """Return T_k = sum_n weight_n r_nk phi(z_n), (k, F), of points z (n, d), or (k, n, d) where each has its own."""
    k = resp.shape[1]
    points = np.broadcast_to(points, (k, *np.shape(points)[-2:])).astype(LONG)
    return np.array(
        [
            sum(
                row_weights[n] * resp[n, c] * np.array(columns(feature_map, points[c, n], metric))
                for n in range(len(resp))
            )
            for c in range(k)
        ]
    )


def columns(feature_map, z, metric) -> list:
    """Return phi(z), as DESIGN section 2 tabulates it."""
    d = len(z)
    match feature_map:
        case "linear":
            second = []
        case "spherical":
            second = [sum(metric[i] * z[i] ** 2 for i in range(d))]
        case "diagonal":
            second = [z[i] ** 2 for i in range(d)]
        case "full":
            second = [z[i] * z[j] for i in range(d) for j in range(i, d)]
    return [1, *z, *second]


def random_parameters(covariance_type, k, d, seed=0, spread=3.0) -> Parameters:
    """Return a mixture of overlapping components of unit size, whose means are `spread` apart."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    matrices = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2).copy(),
        "spherical": np.trace(matrices, axis1=1, axis2=2) / d,
    }
    return Parameters(
        covariance_type, rng.dirichlet(np.full(k, 5.0)), spread * rng.normal(size=(k, d)), covariances[covariance_type]
    )


def draw(parameters, n, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, d) drawn from the mixture, and the component of each."""
    rng = np.random.default_rng([seed, 1])
    labels = rng.choice(len(parameters.weights), size=n, p=parameters.weights)
    roots = np.linalg.cholesky(dense_covariances(parameters).astype(float))
    noise = rng.normal(size=(n, parameters.means.shape[1]))
    return parameters.means[labels] + np.einsum("nij,nj->ni", roots[labels], noise), labels


def assert_agree(actual, expected, rtol) -> None:
    """Assert that two mixtures agree: weights to rtol, means and covariances to rtol standard deviations.

    Entry i, j of a covariance is compared to sqrt(Sigma_ii Sigma_jj), so that features of any unit count alike.
    """
    assert actual.covariance_type == expected.covariance_type
    np.testing.assert_allclose(np.asarray(actual.weights, float), np.asarray(expected.weights, float), rtol=rtol)
    dense = dense_covariances(expected)
    scale = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    shift = (np.asarray(actual.means).astype(LONG) - expected.means) / scale
    np.testing.assert_allclose(shift.astype(float), 0, atol=rtol, err_msg="means, in standard deviations")
    np.testing.assert_allclose(covariance_error(actual, expected), 0, atol=rtol, err_msg="covariances, relative")


def covariance_error(actual, expected) -> float:
    """Return the largest relative error of the covariances."""
    dense = dense_covariances(expected)
    scale = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    error = (dense_covariances(actual) - dense) / (scale[:, :, None] * scale[:, None, :])
    return float(np.abs(error).max())


def merge_by_entropy(resp, row_weights=None):
    """Return the merges (pairs of tuples of columns) that lower the entropy most, and the entropies of 1 to k clusters.

    The sum over rows, columns and pairs is taken anew for each candidate (Baudry et al. 2010, section 3).
    """
    resp = np.asarray(resp).astype(LONG)
    row_weights = np.ones(len(resp), LONG) if row_weights is None else np.asarray(row_weights).astype(LONG)
    clusters = {(k,): resp[:, k] for k in range(resp.shape[1])}
    merges, entropies = [], [_total_entropy(clusters, row_weights)]
    while len(clusters) > 1:
        tried = []
        names = sorted(clusters)
        for at, one in enumerate(names):
            for other in names[at + 1 :]:
                merged = {name: values for name, values in clusters.items() if name not in (one, other)}
                merged[tuple(sorted(one + other))] = clusters[one] + clusters[other]
                tried.append((_total_entropy(merged, row_weights), {one, other}, merged))
        lowest, pair, clusters = min(tried, key=lambda one: one[0])
        merges.append(pair)
        entropies.append(lowest)
    return merges, np.array(entropies[::-1], float)


def _total_entropy(clusters, row_weights):
    total = LONG(0)
    for column in clusters.values():
        for weight, value in zip(row_weights, column, strict=True):
            if value > 0:
                total -= weight * value * np.log(value)
    return total


def principal_components(rows, weights, n) -> tuple[np.ndarray, np.ndarray]:
    """Return rows on the n leading eigenvectors of their correlations, and what these leave of each scaled column."""
    weights = np.ones(len(rows)) if weights is None else weights
    shares = weights / weights.sum()
    centred = rows - shares @ rows
    scaled = centred / np.sqrt(shares @ centred**2)
    values, vectors = np.linalg.eigh((scaled * shares[:, None]).T @ scaled)
    axes, variances = vectors[:, ::-1][:, :n], values[::-1][:n]
    return scaled @ axes, 1 - axes**2 @ variances
