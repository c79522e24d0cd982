"""What enhancers do to pictures: quality, recognition without training, learned settings of CLAHE."""
