import json

import pytest
from safetensors.numpy import load

from detectors.decoding.language import Language
from detectors.head import HEADS, Head


@pytest.fixture(scope="session")
def language() -> Language:
    content = (HEADS / "obfuscation.safetensors").read_bytes()
    record = json.loads((HEADS / "obfuscation.json").read_text("utf-8"))
    return Language(Head("obfuscation", record["sha256"], load(content), record))
