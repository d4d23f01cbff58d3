"""Message content in the OpenAI form: a string, or a list of typed parts."""

from dataclasses import dataclass
from typing import Final

from detectors.reading.fault import RowFault, shown
from detectors.reading.lookup import as_list, as_object, as_text, required

_TEXT_PARTS: Final = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
"""Part type -> the key its text stands under."""
_OTHER_PARTS: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "file": "file",
    "input_file": "file",
}
"""Part type -> the kind that no detector here can judge."""


@dataclass(frozen=True, slots=True)
class Content:
    """Text with a placeholder for each part that is none, and the kinds of those."""

    text: str = ""
    unjudged: tuple[str, ...] = ()

    def __add__(self, other: "Content") -> "Content":
        return Content(self.text + other.text, self.unjudged + other.unjudged)


def read_content(value: object, field: str) -> Content:
    """Read a string or a list of parts; parts are joined as templates join them."""
    if isinstance(value, str):
        return Content(value)
    found = Content()
    for index, part in enumerate(as_list(value, field, "a string or a list of parts")):
        found += _read_part(part, f"{field}[{index}]")
    return found


def placeholder(kind: str) -> Content:
    """Return what stands in the text for an image, audio or other part."""
    return Content(f"[{kind}]", (kind,))


def _read_part(value: object, field: str) -> Content:
    part = as_object(value, field)
    kind = as_text(required(part, "type", field), f"{field}.type")
    if kind in _TEXT_PARTS:
        key = _TEXT_PARTS[kind]
        return Content(as_text(required(part, key, field), f"{field}.{key}"))
    if kind in _OTHER_PARTS:
        return placeholder(_OTHER_PARTS[kind])
    expected = "a text, image, audio, video or file part"
    raise RowFault("unknown_part", f"{field}.type", expected, shown(kind))
