"""Published datasets as they lie on disk: one module each, all giving the same index table and the same samples."""
