"""Reports about run folders: tables, samples and curves. Reads files only, and imports no torch."""
