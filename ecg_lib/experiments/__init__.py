"""Steps that train, answer and measure, called by the notebooks and studies."""
