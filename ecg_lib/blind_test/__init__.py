"""A test, for any ECG language model, of whether its answers depend on the ECG."""

from ecg_lib.blind_test.question_set import QuestionSet
from ecg_lib.blind_test.replies import Reply
from ecg_lib.blind_test.run import BlindTest, blind_test

__all__ = ["BlindTest", "QuestionSet", "Reply", "blind_test"]
