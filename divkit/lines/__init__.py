"""What one dimension allows: sorting, monotone couplings, sums of distances by sorting, directions to project on."""
