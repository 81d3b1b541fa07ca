"""The annotation studio: ask people which of two joints is nearer, keep every answer."""
