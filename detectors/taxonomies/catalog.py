"""The taxonomies there are maps to: a literal tuple."""

from typing import Final

from detectors.taxonomies.ailuminate import AILUMINATE
from detectors.taxonomies.azure import AZURE
from detectors.taxonomies.llama_guard import LLAMA_GUARD
from detectors.taxonomies.openai import OPENAI

TAXONOMIES: Final = (OPENAI, LLAMA_GUARD, AILUMINATE, AZURE)
