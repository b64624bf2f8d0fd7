"""The losses against loops over pairs, and what the definitions imply."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from gnnkg.alignment.encoder import Views
from gnnkg.alignment.losses import AlignmentObjective, UncertaintyWeighting, contrastive_alignment_loss


def pairs(count: int = 6, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, width, dtype=torch.float64), torch.randn(count, width, dtype=torch.float64)


def by_loops(left: torch.Tensor, right: torch.Tensor, temperature: float) -> list[float]:
    def cosine(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(x @ y / x.norm() / y.norm())

    losses = []
    for i in range(len(left)):
        total = 0.0
        for own, other in ((left, right), (right, left)):
            across = [math.exp(cosine(own[i], other[j]) / temperature) for j in range(len(left))]
            within = [math.exp(cosine(own[i], own[j]) / temperature) for j in range(len(left)) if j != i]
            total -= math.log(across[i] / (sum(across) + sum(within))) / 2
        losses.append(total)
    return losses


def test_icl_by_its_definition():
    left, right = pairs()
    expected = by_loops(left, right, 0.3)
    found = contrastive_alignment_loss(left, right, temperature=0.3)
    assert found.item() == pytest.approx(sum(expected) / 6)
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], dtype=torch.float64)
    weighed = contrastive_alignment_loss(left, right, weight, 0.3)
    assert weighed.item() == pytest.approx(sum(w * loss for w, loss in zip(weight.tolist(), expected, strict=True)) / 6)


def test_icl_does_not_mind_sides_and_order():
    left, right = pairs()
    order = torch.randperm(6)
    loss = contrastive_alignment_loss(left, right)
    assert_close(contrastive_alignment_loss(right, left), loss)
    assert_close(contrastive_alignment_loss(left[order], right[order]), loss)


def test_gradients_of_icl():
    left, right = (side.requires_grad_() for side in pairs(4, 3))
    assert torch.autograd.gradcheck(lambda a, b: contrastive_alignment_loss(a, b, temperature=0.5), (left, right))


def test_uncertainty_weighting_leaves_absent_kinds_alone():
    weighting = UncertaintyWeighting(["a", "b"])
    with torch.no_grad():
        weighting.log_variance.copy_(torch.tensor([math.log(2.0), 5.0]))
    total = weighting({"a": torch.tensor(3.0)})
    assert total.item() == pytest.approx(3 / 2 + math.log(2))
    total.backward()
    assert weighting.log_variance.grad.tolist() == [pytest.approx(1 - 3 / 2), 0.0]


def views(fused: bool, share: float = 0.5) -> Views:
    modalities = {"structure": torch.randn(5, 3), "name": torch.randn(5, 4)}
    has = torch.ones(5, 2, dtype=torch.bool)
    if not fused:
        return Views(modalities, torch.tensor([0.25, 0.75]), has)
    confidence = torch.tensor([share, 1 - share]).expand(5, 2)
    hidden = {"structure": torch.randn(5, 3), "name": torch.randn(5, 3)}
    return Views(modalities, torch.tensor([0.25, 0.75]), has, hidden, confidence)


def test_joint_vectors_are_weighed_and_of_length_by_weight():
    joint = views(False).joint()
    assert_close(joint[:, :3].norm(dim=1), torch.full((5,), 0.25))
    assert_close(joint[:, 3:].norm(dim=1), torch.full((5,), 0.75))
    assert_close(views(True, 0.1).joint(by_confidence=True)[:, :3].norm(dim=1), torch.full((5,), 0.1))


def test_terms_follow_what_the_encoder_gives():
    objective = AlignmentObjective(["structure", "name"])
    left, right = views(False), views(False)
    losses = objective(left, right)
    assert losses.keys() == {"gmi", "ecia"}
    assert_close(losses["gmi"], contrastive_alignment_loss(left.joint(), right.joint()))
    each = [contrastive_alignment_loss(left.modalities[name], right.modalities[name]) for name in left.modalities]
    assert_close(losses["ecia"], sum(each))
    assert objective(views(True), views(True)).keys() == {"gmi", "ecia", "iir"}
    assert AlignmentObjective(["structure"], ecia=False, iir=False)(left, right).keys() == {"gmi"}
    with pytest.raises(ValueError, match="at least one of"):
        AlignmentObjective(["structure"], gmi=False, ecia=False, iir=False)


def test_equal_confidence_weighs_nothing():
    left, right = views(True), views(True)
    weighed = AlignmentObjective(["structure", "name"])(left, right)["ecia"]
    plain = [contrastive_alignment_loss(left.modalities[name], right.modalities[name]) for name in left.modalities]
    assert_close(weighed, sum(plain))


def test_confidence_keeps_its_gradient():
    share = torch.tensor(0.3, requires_grad=True)
    confidence = torch.stack([share, 1 - share]).expand(5, 2)
    side = views(True)
    left = replace(side, confidence=confidence)
    AlignmentObjective(["structure", "name"], gmi=False, iir=False)(left, views(True))["ecia"].backward()
    assert share.grad.abs() > 0


def test_confidence_may_be_left_out_of_the_losses():
    left, right = views(True, 0.1), views(True, 0.2)
    plain = AlignmentObjective(["structure", "name"], confidence=False)
    bare = [replace(side, confidence=None) for side in (left, right)]
    assert plain(left, right) == plain(*bare)
    assert plain.needs_fusion, "IIR needs it"
    assert not AlignmentObjective(["structure", "name"], confidence=False, iir=False).needs_fusion


def test_a_pair_that_lacks_a_modality_adds_nothing_to_its_losses():
    left, right = views(True), views(True)
    lacking = left.has.clone()
    lacking[3, 1] = False
    confidence = torch.where(lacking, left.confidence, 0.0)
    confidence[3, 0] = 1.0
    left = replace(left, has=lacking, confidence=confidence)
    losses = AlignmentObjective(["structure", "name"], gmi=False)(left, right)
    weight = lacking.float()
    for name, of in (("ecia", "modalities"), ("iir", "hidden")):
        sides = zip(*(getattr(side, of).values() for side in (left, right)), weight.unbind(1), strict=True)
        assert_close(losses[name], sum(contrastive_alignment_loss(*each) for each in sides))


def test_joining_by_confidence_needs_one():
    with pytest.raises(ValueError, match="join them by weights"):
        views(False).joint(by_confidence=True)
