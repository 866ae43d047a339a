#!/usr/bin/env python3
"""What moe.py and sparse.py reckon, without a training: the balance loss, the arms, what counts as held. Exits with 1 on failure."""

import sys
import unittest

import torch

import moe
import sparse
from model import Encoder, picked
from students import DEPTH, Batch


class Balance(unittest.TestCase):
    def test_is_one_where_all_are_used_alike(self):
        logits = 10 * torch.eye(4).repeat(5, 1)
        self.assertAlmostEqual(sparse.balance(logits, picked(logits, 1)).item(), 1, places=5)

    def test_is_their_number_where_one_is_alone(self):
        logits = torch.tensor([[50.0, 0, 0, 0]]).repeat(9, 1)
        self.assertAlmostEqual(sparse.balance(logits, picked(logits, 1)).item(), 4, places=5)

    def test_is_the_formula(self):
        torch.manual_seed(1)
        logits = torch.randn(50, 3)
        for top in (1, 2):
            routes, p = picked(logits, top), torch.softmax(logits, -1)
            f = [(routes == e).sum().item() / (50 * top) for e in range(3)]
            self.assertAlmostEqual(sparse.balance(logits, routes).item(), 3 * sum(f[e] * p[:, e].mean().item() for e in range(3)), places=5)

    def test_pushes_away_from_the_busiest(self):
        logits = torch.tensor([[1.0, 0, 0]]).repeat(4, 1).requires_grad_()
        sparse.balance(logits, picked(logits.detach(), 1)).backward()
        self.assertTrue((logits.grad[:, 0] > 0).all() and (logits.grad[:, 1:] < 0).all())


class Arms(unittest.TestCase):
    def setUp(self):
        self.layers = {n: moe.experts.layer_weights(Encoder(sparse.config_of(arm, 128))) for n, arm in sparse.ARMS.items()}

    def test_each_step_of_the_ladder_adds_one_ingredient(self):
        steps = [sparse.ARMS[n] for n in (sparse.SHARED, "experts", "private-routers", sparse.BEST, sparse.DISTILLED)]
        steps[0] = steps[0]._replace(routers=False)     # it has none
        for before, after in zip(steps, steps[1:]):
            self.assertEqual(sum(a != b for a, b in zip(before, after)), 1)

    def test_sizes(self):
        dense = self.layers[sparse.DENSE]
        for n in (sparse.BEST, sparse.DISTILLED):
            self.assertLessEqual(self.layers[n] / dense, moe.SHARE)
        for n in moe.EQUAL:
            self.assertLess(abs(self.layers[n] / self.layers[sparse.BEST] - 1), 0.03)

    def test_grid_holds_every_cell(self):
        self.assertEqual(len(sparse.GRID), len(sparse.GROUPS) * len(sparse.EXPERTS))
        for (groups, experts), n in sparse.GRID.items():
            c = sparse.config_of(sparse.ARMS[n], 128)
            self.assertEqual((c.blocks, c.experts, c.norms, c.routers), (groups, experts, DEPTH, DEPTH if experts else 0))


class Training(unittest.TestCase):
    def test_loss_reaches_every_part(self):
        torch.manual_seed(1)
        like = Encoder(sparse.config_of(sparse.ARMS[sparse.DENSE], 32))
        real = torch.arange(20)[None] < torch.tensor([20, 12])[:, None]
        mel = torch.randn(2, 40, 80)
        batch = Batch(mel, mel, ~real, real, torch.randint(0, 40, (2, 20)).masked_fill(~real, -100), (4, 8))
        gated = sparse.Gated(sparse.ARMS[sparse.DISTILLED], 32, like)
        gated(batch, torch.randn(2, 20, 32)).backward()
        self.assertEqual(len(gated.logits), DEPTH)
        self.assertEqual([n for n, p in gated.named_parameters() if p.grad is None], [])


class Held(unittest.TestCase):
    def test_speakers_and_seeds_must_agree(self):
        for gap, each, wanted in (((-5, -7, -3), (-4, -6), True), ((5, 3, 7), (4, 6), False), ((-5, -11, 1), (-4, -6), None),
                                  ((-5, -7, -3), (-11, 1), None), ((-1.5, -1.9, -1.1), (-1.5,), None), ((-5, -7, -3), (-5,), True)):
            self.assertIs(moe.held(gap, each), wanted)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
