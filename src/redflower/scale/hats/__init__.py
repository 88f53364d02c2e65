"""HATS catalogues: partitions shared by the workers of a Dask cluster, written as a catalogue of the same partitions."""
