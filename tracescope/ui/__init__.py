"""The terminal user interface: the only package that imports textual."""

import os

# A key's answer waits for the next frame: at the usual 60 a second half of the time that it has is gone. What does not
# change is not drawn, so more frames cost nothing. Textual reads it when it is imported.
os.environ.setdefault("TEXTUAL_FPS", "250")
