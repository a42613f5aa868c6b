"""The paper's claims, judged by our own numbers."""
