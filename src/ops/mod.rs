//! Host side of each kernel family: checks shapes, chooses the variant, records.
