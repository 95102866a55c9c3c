# SPDX-License-Identifier: Apache-2.0
"""Layers against torch's own, and the flow of information that the memory tokens make possible."""

import pytest
import torch
from torch import nn

from ifc.modeling.transformer import EncoderLayer, LayerSettings, MultiheadAttention, Transformer

DIM, HEADS = 16, 4


def layer_settings(dim: int = DIM, pre_norm: bool = False) -> LayerSettings:
    return LayerSettings(dim, HEADS, dim_feedforward=32, dropout=0.0, pre_norm=pre_norm)


def make_transformer(dim: int = DIM, dec_layers: int = 2, num_memory: int = 3) -> Transformer:
    torch.manual_seed(0)
    return Transformer(layer_settings(dim), enc_layers=2, dec_layers=dec_layers, num_memory=num_memory).eval()


def clip_inputs(num_frames: int, size: tuple[int, int] = (2, 3)):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(num_frames, DIM, *size, generator=generator) for _ in range(2))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("same_key", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 1e-6])  # so little that nothing is dropped, by the way that drops
def test_attention_equals_torchs(padded, same_key, dropout):
    torch.manual_seed(0)
    ours, theirs = MultiheadAttention(DIM, HEADS, dropout), nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    nn.init.normal_(ours.in_proj_bias)
    theirs.load_state_dict(ours.state_dict())
    query = torch.randn(2, 5, DIM)
    key = query if same_key else torch.randn(2, 5, DIM)
    value = torch.randn(2, 5, DIM)
    padding = torch.tensor([[False] * 5, [False, True, False, True, True]]) if padded else None
    expected, _ = theirs(query, key, value, key_padding_mask=padding)
    torch.testing.assert_close(ours(query, key, value, padding), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_layer_equals_torchs(pre_norm):
    torch.manual_seed(0)
    ours = EncoderLayer(layer_settings(pre_norm=pre_norm))
    theirs = nn.TransformerEncoderLayer(DIM, HEADS, 32, 0.0, batch_first=True, norm_first=pre_norm)
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 7, DIM)
    torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-6, rtol=1e-5)


def test_decoder_equals_torchs():
    transformer = make_transformer()
    decoder = transformer.clip_decoder
    theirs = nn.TransformerDecoderLayer(DIM, HEADS, 32, 0.0, batch_first=True)
    theirs.load_state_dict(decoder.layers[0].state_dict())
    theirs.eval()
    memory, nothing = torch.randn(2, 9, DIM), torch.zeros(4, DIM)
    decoder.layers = decoder.layers[:1]
    state = decoder(nothing, memory, torch.zeros_like(memory), None)[-1]
    expected = decoder.norm(theirs(nothing.expand(2, -1, -1), memory))
    torch.testing.assert_close(state, expected, atol=1e-6, rtol=1e-5)


def encode(transformer: Transformer, cells, position, padding=None, num_frames=None):
    tokens = transformer.encode_frames(cells, position, padding)
    return transformer.forward_clips(*tokens, torch.ones(4, DIM), num_frames or len(cells))


def test_only_memory_tokens_carry_information_between_frames():
    cells, position = clip_inputs(3)
    changed = cells.clone()
    changed[2] += 1
    with_memory, without = make_transformer(), make_transformer(num_memory=0)
    _, before = encode(with_memory, cells, position)
    _, after = encode(with_memory, changed, position)
    assert not torch.allclose(before[0], after[0], atol=1e-4)
    _, before = encode(without, cells, position)
    _, after = encode(without, changed, position)
    torch.testing.assert_close(before[:2], after[:2])


def test_clips_of_a_batch_do_not_see_each_other():
    cells, position = clip_inputs(6)
    transformer = make_transformer()
    states, encoded = encode(transformer, cells, position, num_frames=3)
    for first in (0, 3):
        clip = slice(first, first + 3)
        alone, encoded_alone = encode(transformer, cells[clip], position[clip])
        torch.testing.assert_close(states[-1][first // 3], alone[-1][0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoded[clip], encoded_alone, atol=1e-5, rtol=1e-5)


def test_padded_cells_change_nothing():
    cells, position = clip_inputs(2, (2, 4))
    padding = torch.zeros(2, 2, 4, dtype=torch.bool)
    padding[1, :, 3] = True
    transformer = make_transformer()
    states, encoded = encode(transformer, cells, position, padding)
    changed = cells.clone()
    changed[1, :, :, 3] = 7
    changed_states, changed_encoded = encode(transformer, changed, position, padding)
    torch.testing.assert_close(states[-1], changed_states[-1])
    torch.testing.assert_close(encoded[0], changed_encoded[0])


def test_training_gives_every_decoder_layer():
    cells, position = clip_inputs(2)
    transformer = make_transformer(dec_layers=3)
    assert len(encode(transformer, cells, position)[0]) == 1
    last = encode(transformer, cells, position)[0][-1]
    transformer.train()
    states = encode(transformer, cells, position)[0]
    assert len(states) == 3
    torch.testing.assert_close(states[-1], last)


def test_initialization_of_the_memory_tokens():
    transformer = make_transformer(dim=64, num_memory=512)
    for memory in (transformer.memory_bus, transformer.memory_pos):
        # Kaiming-normal, fan_out, ReLU: standard deviation sqrt(2 / rows).
        assert memory.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.05)
