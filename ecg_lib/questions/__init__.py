"""Questions about ECGs: who is asked what, how the rows are de-biased, and how both are audited."""
