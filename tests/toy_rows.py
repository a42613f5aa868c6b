"""Verify rows about single ECGs that can be counted by hand, for tests of the questions."""

import pandas as pd


def toy_rows(groups):
    """Return rows for groups (template, answer, normal, count), and which ECGs are normal."""
    rows, normal = [], {}
    for template, answer, well, n in groups:
        for _ in range(n):
            ecg = f"x/{len(rows)}"
            normal[ecg] = well
            rows.append(
                {
                    "template_id": template,
                    "question_id": 1000 * template,
                    "sample_id": len(rows),
                    "question_type": "single-verify",
                    "attribute_type": "scp_code",
                    "question": f"Is finding{template} there?",
                    "answer": [answer],
                    "ecg_id": [ecg],
                    "attribute": None,
                }
            )
    return pd.DataFrame(rows), pd.Series(normal)
