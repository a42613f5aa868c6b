"""Mine a corpus of reports and save its entities in a folder that training reads.

Beside `entities.json` and `labels.parquet` the folder holds `mentions.parquet`: one row per mention
in a distinct report, with its polarity, its place, and whether the report holds the words literally
and the language model verified it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.disk import write_file
from ecg_lib.entities.asker import Asker
from ecg_lib.entities.entity_labels import LEXICON, lexicon_entities
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.labelled_reports import save_labels, text_hash
from ecg_lib.entities.lexicon import shipped_lexicon
from ecg_lib.entities.llm_miner import Checked, LlmMiner
from ecg_lib.errors import DataError

MENTIONS = "mentions.parquet"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("report", "name", "text", "polarity")]
    + [("start", pa.int32()), ("end", pa.int32()), ("verified", pa.bool_())]
)


def mine_to_folder(
    reports: Sequence[str],
    folder: str | os.PathLike,
    asker: Asker | None = None,
    verify: bool = True,
) -> EntitySet:
    """Mine reports and save entities, labels and mentions.

    Parameters
    ----------
    reports : sequence of str
        All that will be trained or tested on; a report that was not mined is refused later.
    folder : path-like
    asker : Asker, optional
        A language model; without one, the lexicon mines.
    verify : bool
        As for `LlmMiner`.

    Raises
    ------
    DataError
        There is no report with a word, nothing was found, or as for `Asker.ask`.
    """
    texts = sorted({report for report in reports if report.strip()})
    if not texts:
        raise DataError("no report has a word; give reports")
    about: dict[str, Any] = {"miner": LEXICON}
    if asker is None:
        checked: list[list[Checked]] = [
            [(mention, None) for mention in found] for found in shipped_lexicon().mine(texts)
        ]
        entities = lexicon_entities()
    else:
        miner = LlmMiner(asker, verify)
        checked = miner.checked(texts)
        if not any(sure is not False for found in checked for _, sure in found):
            raise DataError(f"{asker.model} found no entity in {len(texts):,} reports; try another")
        entities = miner.entities(_kept(checked))
        pairs = [own for found in checked for own in found]
        about = {
            "miner": asker.model,
            "prompts": asker.prompts.version,
            "extracted": len(pairs),
            "not_verified": sum(sure is False for _, sure in pairs),
            "not_in_text": sum(mention.span is None for mention, _ in pairs),
            "not_in_text_but_verified": sum(m.span is None and sure is True for m, sure in pairs),
            "unreadable": dict(sorted(asker.unreadable.items())),
        }
    columns = zip(*_rows(texts, checked), strict=True) if any(checked) else ([],) * len(_SCHEMA)
    table = pa.table([list(column) for column in columns], schema=_SCHEMA)
    write_file(Path(folder) / MENTIONS, lambda path: pq.write_table(table, path))
    save_labels(folder, entities, texts, entities.matrix(_kept(checked)), about)
    return entities


def _kept(checked: Sequence[Sequence[Checked]]):
    return [[mention for mention, sure in found if sure is not False] for found in checked]


def _rows(texts: Sequence[str], checked: Sequence[Sequence[Checked]]) -> list[tuple]:
    rows = []
    for report, found in zip(texts, checked, strict=True):
        for mention, sure in found:
            place = mention.span or (None, None)
            rows.append(
                (text_hash(report), mention.name, mention.text, mention.polarity, *place, sure)
            )
    return rows
