"""Train with the old code that PYTHONPATH names, once per line of standard input.

Run by `old_code.py`. The names imported from ecg_lib here are those of the old commit.
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from ecg_lib.features import EcgTokens
from ecg_lib.models.encoder import EcgEncoder, EcgEncoderConfig
from ecg_lib.training.finetune import new_model, train_stage

from ecg_lib.config import Lora, Stage


def main(job: dict) -> None:
    """Answer each line with the CPU seconds of one training."""
    torch.set_num_threads(1)
    encoder = EcgEncoder(EcgEncoderConfig(**job["encoder"])).eval()
    tokens = EcgTokens(Path(job["tokens"]), job["ecg_ids"])
    rows = pd.DataFrame(job["rows"])
    for _ in sys.stdin:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            model, processor = new_model(encoder, job["llm"], Lora(**job["lora"]), "float32", 0)
            start = time.process_time()
            train_stage(model, processor, rows, tokens, Stage(**job["stage"]), Path(folder), 0)
            spent = time.process_time() - start
        print(spent, flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
