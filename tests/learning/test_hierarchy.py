import numpy as np
import pytest

from smartlb.learning.hierarchy import Affinity, pooled, tempered


def test_a_pool_is_the_mean_over_its_requests() -> None:
    claim, evidence = np.array([[1.0, 4.0], [8.0, 9.0]]), np.array([[0.2, 0.1], [0.0, 0.0]])
    assert pooled(claim, evidence, 7.0).ravel() == pytest.approx([2.0, 2.0]), "a new class is like the others"
    assert pooled(claim, np.zeros((2, 2)), 7.0).ravel() == pytest.approx([7.0, 7.0])


def test_evidence_outweighs_the_prior_bit_by_bit() -> None:
    claims = tempered(np.full((1, 3), 4.0), np.array([[0.0, 2.0, 1e6]]), 2.0, np.ones((1, 1)))
    assert claims.ravel() == pytest.approx([1.0, 2.5, 4.0], rel=1e-4)


def test_affinity_is_kept_and_level_is_not() -> None:
    affinity, mix, trust = Affinity(2, 2), np.ones(2), np.ones((2, 2))
    for _ in range(200):
        affinity.learn(np.array([[3.0, -1.0], [1.0, -1.0]]), mix, trust, 0.2)
    assert affinity.log_ratio[:, 0] == pytest.approx([1.0, -1.0], abs=0.2)
    assert affinity.log_ratio[:, 1] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_affinity_fades_within_minutes_without_evidence() -> None:
    affinity = Affinity(2, 1)
    affinity.log_ratio[:] = [[1.0], [-1.0]]
    affinity.learn(np.zeros((2, 1)), np.ones(2), np.zeros((2, 1)), 300.0)
    assert abs(affinity.log_ratio).max() < 0.01
