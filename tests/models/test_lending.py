"""A loan changes a network once, however many borrow it, and the last one gives it back."""

from __future__ import annotations

import threading

import torch

from fiftyone_saliency.models.lending import lent
from tests.oracles import SmallCNN, Snapshot, draw


def test_a_network_stays_lent_until_the_last_thread_gives_it_back():
    network = SmallCNN().train()
    before = Snapshot.of(network)
    borrowed, finish = threading.Event(), threading.Event()

    def borrow() -> None:
        with lent(network):
            borrowed.set()
            finish.wait(10)

    with lent(network):
        other = threading.Thread(target=borrow)
        other.start()
        assert borrowed.wait(10)
    try:
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
    finally:
        finish.set()
        other.join(10)
    assert before.differences(Snapshot.of(network)) == []


def test_a_loan_within_a_loan_differentiates_whatever_is_set_between_them():
    network = SmallCNN()
    with lent(network), torch.no_grad(), lent(network):
        assert network(draw(1).requires_grad_(True)).requires_grad


def test_a_network_can_be_lent_again_after_a_loan_that_failed():
    network = SmallCNN().train()
    before = Snapshot.of(network)
    for _ in range(2):
        try:
            with lent(network):
                raise ZeroDivisionError
        except ZeroDivisionError:
            assert before.differences(Snapshot.of(network)) == []
    with lent(network):
        assert not network.training
