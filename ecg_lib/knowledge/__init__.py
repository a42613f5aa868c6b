"""Findings, label maps, glossary and advice shared by all cohorts."""
