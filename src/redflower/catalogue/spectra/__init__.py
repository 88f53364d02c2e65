"""BP/RP spectra as bands: coefficients as archives deliver them, synthetic photometry with its covariance."""
