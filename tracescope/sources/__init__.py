"""Where knowledge comes from: one module a source, each a pure parser and a thin reader."""
