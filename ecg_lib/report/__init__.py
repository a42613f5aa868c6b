"""Result tables, figures and verdicts, made from the numbers of a profile."""
