"""MERL's model: a CLIP with non-linear projections, a fixed temperature and, in K-MERL, queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib import encoders
from ecg_lib.disk import write_file
from ecg_lib.encoders.sentence_vectors import load_sentence_encoder
from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.text_vectors import frozen_vectors
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.clip_text import build_text
from ecg_lib.objectives.parts.query_network import QueryNetwork, QuerySizes, logit_of
from ecg_lib.objectives.parts.report_vectors import random_vectors, text_vectors

if TYPE_CHECKING:
    import numpy as np

    from ecg_lib.config import TextEncoder as TextSettings
    from ecg_lib.encoders.base import EcgEncoder, EncoderOutput
    from ecg_lib.objectives.objective import Given

SIZES = "clip.json"
QUERIES = ("names", "random")
_ENCODERS = ("ecg_encoder.", "text_encoder.")
_CENTRED = 2000  # distinct reports whose mean vector is the centre


@dataclass(frozen=True, kw_only=True)
class EntityReading:
    """How a model reads entities off an ECG.

    Parameters
    ----------
    names : tuple of str
        The Q entities that it was trained on.
    network : QuerySizes, optional
        Sizes of the query network, which can be asked any name. None: a linear layer on the pooled
        vector instead, which knows the Q entities only.
    queries : str
        Text vectors of the "names", or "random" vectors in their place as a control.
    """

    names: tuple[str, ...]
    network: QuerySizes | None = None
    queries: str = "names"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if self.queries not in QUERIES:
            raise ConfigError(f"queries is {self.queries!r}; choose {', '.join(QUERIES)}")


class _Projection(nn.Sequential):
    """A projection that tells its width as a linear layer does."""

    def __init__(self, *layers: nn.Module, width: int):
        super().__init__(*layers)
        self.out_features = width


class MerlClip(EcgClip):
    """An ECG encoder and a text encoder, projected as in MERL, with an optional entity reading.

    ECGs: linear, batch norm, ReLU, linear, batch norm. Texts: linear, GELU, linear. The sizes are
    those of MERL's code.

    Parameters
    ----------
    ecg_encoder : EcgEncoder
    text_encoder : TextEncoder
    width : int
        Dimension E of the shared space, and of the layer before it.
    temperature : float
        Fixed.
    train_text : bool
        Whether the text encoder is trained; its projection always is.
    entities : EntityReading, optional
    """

    def __init__(
        self,
        ecg_encoder: EcgEncoder,
        text_encoder: TextEncoder,
        width: int,
        temperature: float = 0.07,
        train_text: bool = False,
        entities: EntityReading | None = None,
    ):
        super().__init__(ecg_encoder, text_encoder, width, temperature, train_text)
        self.log_scale.requires_grad_(False)
        inputs = ecg_encoder.config.width
        self.ecg_projection = _Projection(  # type: ignore[assignment]
            nn.Linear(inputs, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            width=width,
        )
        self.text_projection = _Projection(  # type: ignore[assignment]
            nn.Linear(text_encoder.width, width), nn.GELU(), nn.Linear(width, width), width=width
        )
        self.entities = entities
        self.query_network: QueryNetwork | None = None
        self.entity_head: nn.Linear | None = None
        if entities and entities.network:
            self.query_network = QueryNetwork(text_encoder.width, inputs, entities.network)
        elif entities:
            self.entity_head = nn.Linear(inputs, len(entities.names))

    def embed_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """Map normalised ECGs (B, L, T) to unit vectors (B, E); `lead_mask` as for encoders."""
        return self.project_ecg(self.ecg_encoder(ecg, lead_mask).cls)

    def project_ecg(self, pooled: Tensor | None) -> Tensor:
        """Map the encoder's pooled vectors (B, D) to unit vectors (B, E)."""
        assert pooled is not None  # every encoder gives one
        return F.normalize(self.ecg_projection(pooled), dim=-1)

    def project_text(self, text: Tensor) -> Tensor:
        """Map the text encoder's vectors (B, W) to unit vectors (B, E)."""
        return F.normalize(self.text_projection(text), dim=-1)

    def query_vectors(self, tokenizer: Any, names: Sequence[str]) -> Tensor:
        """Return the vectors by which names are asked, (Q, W), as the text encoder stands."""
        if self.entities and self.entities.queries == "random":
            made = random_vectors(names, self.text_encoder.width)
            return made.to(self.log_scale.device)
        most = self.text_encoder.backbone.config.max_position_embeddings
        return text_vectors(self.text_encoder, tokenizer, names, most)

    def entity_logits(self, encoded: EncoderOutput, queries: Tensor) -> Tensor:
        """Return a logit per ECG and query, (B, Q).

        Parameters
        ----------
        encoded : EncoderOutput
        queries : (Q, W)
            From `query_vectors`. A linear head answers for the entities of its training, whatever
            the queries.

        Raises
        ------
        DataError
            The model reads no entities.
        """
        if self.query_network is not None:
            return self.query_network(queries, encoded.tokens, encoded.token_mask)
        if self.entity_head is None:
            raise DataError("this CLIP was trained without entities; score by cosine, or train one")
        return self.entity_head(encoded.cls)

    @torch.no_grad()
    def set_rates(self, rates: np.ndarray) -> None:
        """Set the output bias to the logit of the labels' rates, so that these need not be learnt.

        Parameters
        ----------
        rates : (Q,) array
            Share of ECGs with each entity, strictly between 0 and 1. A query network has one bias
            for all, the logit of their mean.
        """
        if self.query_network is not None:
            self.query_network.set_rate(float(rates.mean()))
        if self.entity_head is not None:
            self.entity_head.bias.copy_(torch.tensor([logit_of(rate) for rate in rates]))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both encoders, the other weights, and `clip.json` with the class and its sizes.

        A text encoder with a `save_pretrained` of its own, such as one that pools in another way,
        writes itself and is loaded by its class.
        """
        super().save_pretrained(folder)
        if save_text := getattr(self.text_encoder, "save_pretrained", None):
            save_text(Path(folder) / "text_encoder")
        told = {
            **_class_of(self),
            "text_encoder": _class_of(self.text_encoder),
            "width": self.ecg_projection.out_features,
            "entities": None if self.entities is None else asdict(self.entities),
        }
        write_file(Path(folder) / SIZES, json.dumps(told, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> MerlClip:
        """Load what `save_pretrained` wrote, in evaluation mode.

        Raises
        ------
        DataError
            The ECG encoder is missing, `clip.json` cannot be read, or a weight is missing.
        """
        folder = Path(folder)
        try:
            told = json.loads((folder / SIZES).read_text(encoding="utf-8"))
            width, entities = int(told["width"]), told["entities"]
            if entities and entities["network"]:
                entities["network"] = QuerySizes(**entities["network"])
            reading = EntityReading(**entities) if entities else None
            kind = told["text_encoder"]
            reader = getattr(import_module(kind["module"]), kind["class"])
        except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
            raise DataError(f"{folder / SIZES} cannot be read; save the model again") from error
        encoder = encoders.load(folder / "ecg_encoder")
        text = reader.from_pretrained(str(folder / "text_encoder"))
        clip = cls(encoder, text, width, entities=reading)
        own = load_file(str(folder / "projections.safetensors"))
        missing = clip.load_state_dict(own, strict=False).missing_keys
        if lost := [key for key in missing if not key.startswith(_ENCODERS)]:
            raise DataError(f"{folder}/projections.safetensors lacks {lost[0]}; save it again")
        return clip.eval()


def _class_of(thing: object) -> dict[str, str]:
    return {"module": type(thing).__module__, "class": type(thing).__name__}


def build_merl(
    encoder: EcgEncoder,
    given: Given,
    texts: Sequence[str],
    width: int,
    temperature: float,
    entities: EntityReading | None,
) -> tuple[MerlClip, Any]:
    """Build an untrained MERL around an encoder.

    A start gives its text encoder, besides the ECG encoder that it always gives. The projections
    begin anew.

    Parameters
    ----------
    texts : sequence of str
        Texts on which a tokenizer is trained if there is none yet.
    width, temperature, entities
        As for `MerlClip`.

    Returns
    -------
    MerlClip, and the tokenizer of its text encoder
    """
    if given.start:
        text, tokenizer = given.start.clip.text_encoder, given.start.tokenizer
    else:
        text, tokenizer = _text_of(given.text, texts)
    trained = given.text.trainable
    return MerlClip(encoder, text, width, temperature, trained, entities), tokenizer


def _text_of(settings: TextSettings, texts: Sequence[str]) -> tuple[TextEncoder, Any]:
    """Load a pretrained text encoder with its pooling and centre, or build one to be trained."""
    if settings.name_or_path is None or settings.trainable:
        return build_text(settings, texts)
    encoder, tokenizer = load_sentence_encoder(settings.name_or_path, settings.pooling)
    if settings.centre:
        some = list(dict.fromkeys(texts))[:_CENTRED]
        encoder.centre_on(frozen_vectors(encoder, tokenizer, some, max_tokens=settings.max_tokens))
    return encoder, tokenizer
