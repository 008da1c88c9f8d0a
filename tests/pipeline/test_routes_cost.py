"""What is compiled for a change where many routes stand: what depends on it, and nothing else."""

from __future__ import annotations

import pytest

from bench.routes import Ensemble


@pytest.fixture
def ensemble() -> Ensemble:
    ensemble = Ensemble(routes=40, services=120)
    assert ensemble.publish() == 160
    return ensemble


def test_a_change_of_a_target_costs_its_routes_alone(ensemble: Ensemble) -> None:
    users = ensemble.users[ensemble.most_used]
    assert 0 < len(users) < 40
    before = dict(ensemble.pipeline.builder.services)
    ensemble.change(ensemble.most_used)
    assert ensemble.publish() == 1 + len(users)
    after = ensemble.pipeline.builder.services
    assert {n for n in after if after[n] is not before[n]} == {ensemble.most_used, *users}


def test_a_change_of_what_no_route_leads_to_costs_itself(ensemble: Ensemble) -> None:
    ensemble.change(ensemble.alone)
    assert ensemble.publish() == 1


def test_what_is_laid_costs_its_service_however_many_are_laid(ensemble: Ensemble) -> None:
    for name in ensemble.targets:
        ensemble.lay(name)
        assert ensemble.publish() == 1
    ensemble.lay("r7")
    assert ensemble.publish() == 1
    # The first that is laid leads elsewhere now, and what it led to is not its business any more.
    gone = next(name for name in ensemble.targets["r7"] if name != ensemble.most_used)
    ensemble.change(gone)
    assert ensemble.publish() == 1


def test_what_is_laid_and_did_not_change_is_not_read_again(ensemble: Ensemble) -> None:
    for name in ("r1", "r2"):
        ensemble.lay(name)
        ensemble.publish()
    before = dict(ensemble.pipeline.registries.overrides)
    ensemble.lay("r2")
    ensemble.publish()
    after = ensemble.pipeline.registries.overrides
    assert after["r1", ""] is before["r1", ""]
    assert after["r2", ""] is not before["r2", ""]
