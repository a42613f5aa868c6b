"""A synthetic cohort of labels, without signals, for tests of the questions."""

import numpy as np
import pandas as pd

ILL = [
    "IRBBB",
    "NDT",
    "ISCAN",
    "LVH",
    "AMI",
    "IMI",
    "CLBBB",
    "1AVB",
    "ABQRS",
    "PVC",
    "INVT",
    "STD_",
]
FEATURES = {
    "rr interval": 0.85,
    "p duration": 0.1,
    "pr interval": 0.16,
    "qrs duration": 0.09,
    "qt interval": 0.38,
    "qt corrected": 0.42,
}
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
FORMS_IN_LEADS = ["NDT", "ABQRS", "INVT", "STD_"]
EXTRASYSTOLES = [
    "extrasystoles",
    "supraventricular extrasystoles",
    "ventricular extrasystoles",
]
NOISES = ["baseline drift", "static noise", "burst noise", "electrodes problems"]


def synthetic_records(n: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Return `n` labelled ECGs of `n / 2` patients: half normal, noise independent of severity."""
    rng = np.random.default_rng(seed)
    # A separate stream, so that its draws do not shift any others.
    places = np.random.default_rng([seed, 1])
    rows = []
    for i in range(n):
        patient = i // 2
        normal = rng.random() < 0.5
        labels, attributes = {}, {"extrasystoles": []}
        rhythm = rng.choice(["SR", "SARRH", "SBRAD", "AFIB"], p=[0.7, 0.12, 0.1, 0.08])
        if normal:
            labels["NORM"] = 100
            rhythm = "SR" if rhythm == "AFIB" else rhythm
        else:
            for code in rng.choice(ILL, size=rng.integers(1, 4), replace=False):
                labels[str(code)] = float(rng.choice([100, 100, 100, 50]))
        labels[str(rhythm)] = 0
        if "PVC" in labels:
            attributes["extrasystoles"] = ["ventricular extrasystoles"]
        if {"AMI", "IMI"} & set(labels):
            attributes["infarction_stage"] = (
                str(rng.choice(["early", "middle", "old", "unknown"]))
                + " stage of myocardial infarction"
            )
        attributes["heart_axis"] = str(
            rng.choice(
                ["normal heart axis", "left axis deviation", "right axis deviation"],
                p=[0.6, 0.3, 0.1],
            )
        )
        attributes["noise"] = {
            kind: sorted(rng.choice(LEADS, size=rng.integers(1, 6), replace=False).tolist())
            for kind in NOISES
            if rng.random() < 0.2
        }
        attributes["form_leads"] = {
            code: sorted(places.choice(LEADS, size=places.integers(1, 5), replace=False).tolist())
            for code in FORMS_IN_LEADS
            # One in ten reports does not name the leads.
            if code in labels and places.random() < 0.9
        }
        if places.random() < 0.1:
            attributes["extrasystoles"] = sorted(
                places.choice(EXTRASYSTOLES, size=places.integers(1, 3), replace=False).tolist()
            )
        scale = rng.choice([0.6, 1.0, 1.5], size=6, p=[0.15, 0.7, 0.15])
        attributes["intervals"] = {
            k: v * s for (k, v), s in zip(FEATURES.items(), scale, strict=True)
        }
        rows.append(
            {
                "ecg_id": f"simulated/{i:06d}",
                "patient_id": f"p{patient}",
                "recorded_at": f"20{10 + i % 2}-01-01T00:00:00",
                "normal": normal,
                "labels": labels,
                "attributes": attributes,
                "split": "train" if patient % 10 < 6 else "valid" if patient % 10 < 8 else "test",
            }
        )
    return pd.DataFrame(rows)
