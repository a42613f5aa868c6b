"""Table 1 by arithmetic: the share of normal ECGs that ECG-QA's law of sampling alone gives."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.stats import binom

from ecg_lib.questions.draw import Pool, verify_masks
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.ecgqa import caps_of

RELEASED_ECGS = 11_566  # of the training split, in ECG-QA's train_ecgs.tsv
FINDING, NORMAL, ABNORMAL = (1, 23), 2, 12  # templates: a finding, "is it normal?", "abnormal?"
BROAD = (NORMAL, ABNORMAL)
IS_NORMAL, MEAN = "Is this ECG normal? (all wordings)", "mean of all questions for a finding"


def expected_normal_share(
    records: pd.DataFrame, templates: Collection[int], cap: int = 100, of: int | None = None
) -> pd.DataFrame:
    """Share of normal ECGs expected among the rows of every verify question on one ECG.

    Nobody has to ask anything: with ``k`` rows of an answer, drawn whatever they are from those who
    give it, the share is the mean of P(normal | answer), weighed by ``k``.

    Parameters
    ----------
    records : DataFrame
        ``normal, labels, attributes`` of the ECGs asked about, one row per ECG.
    templates : collection of int
        ECG-QA's templates.
    cap : int
        On yes: 100 in training, 20 in valid and test.
    of : int, optional
        How many ECGs the cap is meant for, where ``records`` are a sample of as many: a cap of 100
        binds less often in a tenth of the ECGs. By default ``records`` are all.

    Returns
    -------
    DataFrame
        ``question_id, template_id, question, n, expected``; questions that nobody answers yes to
        are left out. ``n`` rows of a cohort of size ``of``.
    """
    pool, known, lines = Pool(records), load_templates(), []
    scale = 1.0 if of is None else of / max(1, len(pool))
    for question in (q for i in templates for q in known[i].questions()):
        if question.template.question_type != "single-verify":
            continue
        masks = verify_masks(question, pool, None)
        drawn = caps_of(masks, cap / scale)
        n = sum(drawn.values())
        if drawn[YES]:
            normal = sum(
                drawn[a] * pool.normal[masks[a]].mean() for a in (YES, NOT_SURE, NO) if drawn[a]
            )
            text = question.text(question.template.wordings.sentence)
            lines.append((question.id, question.template.id, text, n * scale, normal / n))
    columns = ["question_id", "template_id", "question", "n", "expected"]
    return pd.DataFrame(lines, columns=columns)


def predicted_table1(records: pd.DataFrame, sentences: Collection[str]) -> pd.DataFrame:
    """What the quota alone makes of sentences of training questions, ``records`` being asked.

    Parameters
    ----------
    records : DataFrame
        ECGs of the training split, or a sample of them.
    sentences : collection of str
        Wordings, such as those that the paper's Table 1 prints.

    Returns
    -------
    DataFrame
        ``row, template_id, n, expected, low, high``: each sentence with the rows that it would have
        in the release; then all wordings of "is this ECG normal?"; then the mean over the questions
        for a finding. Between ``low`` and ``high`` fall 95 of 100 draws of so many rows. Where
        nobody answers yes to a question, it has NaN.
    """
    each = expected_normal_share(records, (*FINDING, *BROAD), of=RELEASED_ECGS)
    each = each.set_index("question_id")
    words = {
        question.text(wording): (question, len(question.template.wordings.train))
        for i in (*FINDING, *BROAD)
        for question in load_templates()[i].questions()
        for wording in question.template.wordings.train
    }
    lines = []
    for sentence in sentences:
        question, wordings = words[sentence]
        n = each["n"].get(question.id, 0) / wordings
        share = each["expected"].get(question.id, np.nan)
        lines.append((sentence, question.template.id, round(n), share))
    well = each[each["template_id"] == NORMAL]
    lines += [(IS_NORMAL, NORMAL, round(r.n), r.expected) for r in well.itertuples()]
    table = pd.DataFrame(lines, columns=["row", "template_id", "n", "expected"])
    low, high = binom.interval(0.95, table["n"], table["expected"])
    table = table.assign(low=low / table["n"], high=high / table["n"])
    specific = each.loc[each["template_id"].isin(FINDING), "expected"]
    mean = {"row": MEAN, "template_id": FINDING[0], "n": np.nan, "expected": specific.mean()}
    return pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
