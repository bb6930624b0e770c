"""The CLIP ViT-L/14 text transformer (OpenAI, arXiv 2103.00020), with the parameter names of transformers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .families import TextConfig


class SelfAttention(nn.Module):
    """Causal multi-head self-attention. [n, tokens, width] -> the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q = self.q_proj(x).view(n, tokens, self.heads, width // self.heads).transpose(1, 2)
        k = self.k_proj(x).view(n, tokens, self.heads, width // self.heads).transpose(1, 2)
        v = self.v_proj(x).view(n, tokens, self.heads, width // self.heads).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    """Two linear layers around OpenAI's quick GELU, x * sigmoid(1.702 x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden))


class EncoderLayer(nn.Module):
    """Attention and MLP, each after a LayerNorm and with a residual."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.hidden, config.heads)
        self.layer_norm1 = nn.LayerNorm(config.hidden)
        self.mlp = Mlp(config.hidden, config.intermediate)
        self.layer_norm2 = nn.LayerNorm(config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Sum of token and position embeddings."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden)
        self.position_embedding = nn.Embedding(config.length, config.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.size(1)]


class Encoder(nn.Module):
    """The layers; the last `skip` of them are left out."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])

    def forward(self, x: Tensor, skip: int) -> Tensor:
        remaining = len(self.layers) - skip
        for layer in self.layers:
            if remaining > 0:
                x = layer(x)
            remaining -= 1
        return x


class TextModel(nn.Module):
    """Embeddings, layers and the final LayerNorm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden)

    def forward(self, ids: Tensor, skip: int) -> Tensor:
        return self.final_layer_norm(self.encoder(self.embeddings(ids), skip))


class TextEncoder(nn.Module):
    """Token ids [n, 77] int64 to embeddings [n, 77, hidden] after the final LayerNorm.

    `skip` leaves out that many of the last layers (diffusers' `clip_skip`): 0 for Stable Diffusion 1.5.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.text_model = TextModel(config)

    def forward(self, ids: Tensor, skip: int) -> Tensor:
        return self.text_model(ids, skip)
