"""Table 1 by arithmetic: the share of normal ECGs that ECG-QA's law of sampling alone gives."""

import pandas as pd

from ecg_lib.questions.draw import Pool, verify_masks
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.ecgqa import caps_of


def expected_normal_share(
    records: pd.DataFrame, templates: list[int], cap: int = 100
) -> pd.DataFrame:
    """Share of normal ECGs expected among the rows of every verify question on one ECG.

    Nobody has to ask anything: with ``k`` rows of an answer, drawn whatever they are from those who
    give it, the share is the mean of P(normal | answer), weighed by ``k``.

    Parameters
    ----------
    records : DataFrame
        ``normal, labels, attributes`` of the ECGs asked about, one row per ECG.
    templates : list of int
        ECG-QA's templates.
    cap : int
        On yes: 100 in training, 20 in valid and test.

    Returns
    -------
    DataFrame
        ``question_id, template_id, question, n, expected``; questions that nobody answers yes to
        are left out.
    """
    pool, known, lines = Pool(records), load_templates(), []
    for question in (q for i in templates for q in known[i].questions()):
        if question.template.question_type != "single-verify":
            continue
        masks = verify_masks(question, pool, None)
        drawn = caps_of(masks, cap)
        n = sum(drawn.values())
        if drawn[YES]:
            normal = sum(
                drawn[a] * pool.normal[masks[a]].mean() for a in (YES, NOT_SURE, NO) if drawn[a]
            )
            text = question.text(question.template.wordings.sentence)
            lines.append((question.id, question.template.id, text, n, normal / n))
    columns = ["question_id", "template_id", "question", "n", "expected"]
    return pd.DataFrame(lines, columns=columns)
