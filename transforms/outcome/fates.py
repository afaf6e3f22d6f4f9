"""What a document's `fate` in decisions/ says: the name of the step that removed it, or that it was kept."""

KEPT = "kept"
