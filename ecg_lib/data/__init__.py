"""Read ECGs from their sources and prepare them as stores."""
