"""Compute the share of normal ECGs (Table 1) that follows from ECG-QA's quota alone.

ECG-QA drew rows by a quota per answer (`ecg_lib.questions.worlds.ecgqa`). An ECG with a disease is
rarely normal, so the quota makes the share of normal ECGs differ between questions even though
nobody chose whom to ask by severity.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.stats import binom

from ecg_lib.questions.draw import Pool, verify_masks
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.ecgqa import caps_of

RELEASED_ECGS = 11_566  # ECGs in the training split, from ECG-QA's train_ecgs.tsv
FINDING, NORMAL, ABNORMAL = (1, 23), 2, 12  # template ids: a finding, is it normal, or abnormal?
BROAD = (NORMAL, ABNORMAL)
IS_NORMAL, MEAN = "Is this ECG normal? (all wordings)", "mean of all questions for a finding"


def expected_normal_share(
    records: pd.DataFrame, templates: Collection[int], cap: int = 100, of: int | None = None
) -> pd.DataFrame:
    """Compute the expected share of normal ECGs among the rows of each one-ECG verify question.

    If `k` rows of an answer are drawn at random from the ECGs that give it, the expected share is
    the mean of P(normal | answer) over the answers, weighted by `k`.

    Parameters
    ----------
    records : DataFrame
        `normal, labels, attributes` of the ECGs asked about, one row per ECG.
    templates : collection of int
        ECG-QA template ids.
    cap : int
        Cap on yes rows: 100 in training, 20 in valid and test.
    of : int, optional
        Number of ECGs that the cap is meant for, if `records` are a sample of them. The cap is
        scaled to the sample, since a cap of 100 binds less often in a tenth of the ECGs. By
        default, `records` are all ECGs.

    Returns
    -------
    DataFrame
        `question_id, template_id, question, n, expected`. `n` is the number of rows in a cohort of
        `of` ECGs. Questions that no ECG answers yes are left out.
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
    """Predict from the quota alone the share of normal ECGs for sentences of training questions.

    Parameters
    ----------
    records : DataFrame
        ECGs of the training split, or a sample of them.
    sentences : collection of str
        Wordings, such as those that the paper's Table 1 prints.

    Returns
    -------
    DataFrame
        `row, template_id, n, expected, low, high`. There is one row per sentence, with the `n` rows
        that it would have in the release; then one for all wordings of "is this ECG normal?"; then
        the mean over the questions about a finding. In 95 of 100 draws of `n` rows the share lies
        between `low` and `high`. It is NaN for a question that no ECG answers yes.
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
