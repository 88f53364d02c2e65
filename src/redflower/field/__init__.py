"""The dust of a whole field, every place borrowing from its neighbours: grid, stars, prior, posterior samples."""
