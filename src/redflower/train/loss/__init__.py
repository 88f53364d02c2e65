"""What training maximises: the evidence of a star, the contrastive term, and one step of the optimiser."""
