"""`python -m ecg_lib.cli.pretrain_llm [look_ups]`: train the language model of params.yaml.

With `look_ups`, only its first course is trained. Both are stages of the pipeline. The first course
and the encoder do not need each other, so they can train at the same time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ecg_lib.errors import EcgLibError
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.experiments.language_model import llm_of_profile, look_ups_of_profile


def main(courses: Sequence[str]) -> None:
    """Train or load the language model, or only its first course."""
    try:
        make = look_ups_of_profile if "look_ups" in courses else llm_of_profile
        make(Experiment.open())
    except EcgLibError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
