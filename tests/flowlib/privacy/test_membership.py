"""The membership attack: calibrated where there is nothing to find, and it finds what is there."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.privacy import membership_advantage


def test_the_attack_is_calibrated_where_there_is_nothing_to_find() -> None:
    g = np.random.default_rng(0)
    attacks = [membership_advantage(g.standard_normal(150), g.standard_normal(150)) for _ in range(200)]
    assert np.mean([m.advantage for m in attacks]) == pytest.approx(0.0, abs=0.02), (
        "no gain from choosing the threshold"
    )
    assert np.mean([m.advantage_95[0] > 0 for m in attacks]) < 0.06
    assert np.mean([m.auc_95[0] <= 0.5 <= m.auc_95[1] for m in attacks]) > 0.9


def test_the_attack_finds_what_the_difference_from_a_reference_model_uncovers() -> None:
    g = np.random.default_rng(1)
    hard, own = 30 * g.standard_normal(800), g.standard_normal(800)
    own[:400] += 2
    plain_attack = membership_advantage((hard + own)[:400], (hard + own)[400:])
    against = membership_advantage(own[:400], own[400:])
    assert plain_attack.auc < 0.6
    assert against.auc > 0.85
    assert against.advantage_95[0] > 0.5
    with pytest.raises(ValueError, match="or more, all finite; got 19"):
        membership_advantage(hard[:19], hard)
