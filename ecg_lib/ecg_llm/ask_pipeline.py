"""A transformers pipeline that answers questions about ECGs, registered when this is imported.

>>> ask = transformers.pipeline("ecg-question-answering", model="path/of/a/saved/ECG-LLM")
>>> ask("records100/00000/00001_lr", question="Does this ECG show atrial fibrillation?")
{'answer': 'no', 'p_yes': 0.03}
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ecg_lib.ecg_llm.ask import Answer, ask, read_ecg
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.quality import standardise

TASK = "ecg-question-answering"


class EcgQuestionAnswering(Pipeline):
    """The pipeline of the task "ecg-question-answering".

    Parameters
    ----------
    model : EcgLlm
        Or, in `transformers.pipeline`, the folder of a saved one.
    processor : EcgLlmProcessor, optional
        By default the one saved with the model.
    """

    model: Any  # an EcgLlm
    _load_processor: Any = False  # transformers would take no processor but its own kind
    _load_tokenizer: Any = False
    _load_feature_extractor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False

    def __init__(self, model: EcgLlm, processor: EcgLlmProcessor | None = None, **kwargs: Any):
        kwargs.pop("tokenizer", None)  # the processor has it
        super().__init__(model, **kwargs)
        if processor is None:
            processor = EcgLlmProcessor.from_pretrained(str(model.config.name_or_path))
        self.asker: EcgLlmProcessor = processor
        self.model.eval()

    # The arguments are those of ECGs and questions, not of text.
    def __call__(  # type: ignore[override]
        self, ecg: Any, question: str | None = None, **kwargs: Any
    ) -> Any:
        """Answer one question about one ECG, or about two in the order previous, recent.

        Parameters
        ----------
        ecg : path, (12, T) array in mV, pair of these, dict, or list of dict
            A path names a WFDB record of any sampling rate. An array has its leads in the order of
            `LEADS`. A dict has the keys `ecg` and `question`; a list of them asks several
            questions.
        question : str
            Not needed with dicts.
        **kwargs
            `rate`, the sampling rate of arrays in Hz, by default the encoder's; and
            `max_new_tokens`, by default 64.

        Returns
        -------
        dict, or list of dict
            `answer`, and `p_yes`, which is None unless it is a yes/no question.

        Raises
        ------
        DataError
            The question is missing, or there are neither one nor two ECGs.
        BadRecord
            An ECG cannot be used.
        """
        if question is not None:
            ecg = {"ecg": ecg, "question": question}
        return super().__call__(ecg, **kwargs)

    def _sanitize_parameters(
        self, rate: int | None = None, max_new_tokens: int | None = None, **unknown: Any
    ) -> tuple[dict, dict, dict]:
        if unknown:
            raise TypeError(f"{TASK} has no argument {min(unknown)!r}; leave it out")
        forward = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        return {} if rate is None else {"rate": rate}, forward, {}

    def preprocess(  # type: ignore[override]
        self, input_: Any, rate: int | None = None
    ) -> dict[str, Any]:
        """Read the ECGs of one input and bring them to the encoder's sampling rate."""
        if not isinstance(input_, Mapping) or {*input_} != {"ecg", "question"}:
            raise DataError(f"{TASK}: give an ECG and question=..., or a dict of ecg and question")
        question = " ".join(str(input_["question"]).split())
        if not question:
            raise DataError(f"{TASK}: the question is empty; ask one in English")
        own = self.model.encoder.config.ecg_input.rate
        signals = [_signal(each, own, rate or own) for each in _each(input_["ecg"])]
        return {"signals": signals, "question": question}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, Any], max_new_tokens: int = 64
    ) -> dict[str, Any]:
        signals, question = model_inputs["signals"], model_inputs["question"]
        return {"said": ask(self.model, self.asker, signals, question, max_new_tokens)}

    def postprocess(self, model_outputs: Any, **none: Any) -> dict[str, Any]:
        """Return the answer as a plain dict."""
        said: Answer = model_outputs["said"]
        return {"answer": said.text, "p_yes": said.p_yes}


def _each(ecg: Any) -> list[Any]:
    """Return one or two ECGs as a list."""
    alone = isinstance(ecg, (str, os.PathLike)) or getattr(ecg, "ndim", 0) == 2
    if alone:
        return [ecg]
    if not isinstance(ecg, (Sequence, np.ndarray)) or len(ecg) not in (1, 2):
        raise DataError(
            f"{TASK}: an ecg is the path of a WFDB record or a (12, T) array in mV; give one or two"
        )
    return list(ecg)


def _signal(ecg: Any, rate: int, of_array: int) -> np.ndarray:
    """Return an ECG (12, T) in mV at `rate`; an array has the sampling rate `of_array`."""
    if isinstance(ecg, (str, os.PathLike)):
        return read_ecg(ecg, rate)
    signal = np.asarray(ecg, dtype=np.float32)
    if signal.ndim != 2 or len(signal) != len(LEADS):
        raise DataError(
            f"{TASK}: an array has shape {signal.shape}; give (12, T) in mV, leads in the order "
            f"{', '.join(LEADS)}"
        )
    return standardise(signal, LEADS, of_array, rate)


PIPELINE_REGISTRY.register_pipeline(
    TASK, EcgQuestionAnswering, pt_model=AutoModel, type="multimodal"
)
