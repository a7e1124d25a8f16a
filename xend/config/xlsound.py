"""Sound cards of an xl file: a list of texts for each card, one of them a PCM device or stream."""

from __future__ import annotations

from typing import Any, Final

from xend.config.modelbuild import build_device
from xend.config.xlgrammar import XlList, XlText
from xend.config.xlsettings import XlSettings
from xend.config.xlwords import Words
from xend.errors import ConfigError
from xend.model.peripherals import SoundDevice, SoundParameters, SoundStream, Vsnd

_UINT: Final = 2**32 - 1
FORMATS: Final = (
    *("s8", "u8", "s16_le", "s16_be", "u16_le", "u16_be", "s24_le", "s24_be", "u24_le", "u24_be"),
    *("s32_le", "s32_be", "u32_le", "u32_be", "f32_le", "f32_be", "f64_le", "f64_be"),
    *("iec958_subframe_le", "iec958_subframe_be", "mu_law", "a_law", "ima_adpcm", "mpeg", "gsm"),
)
"""libxl_vsnd_pcm_format."""
_PARAMETERS: Final = {
    "sample-rates": "sample_rates",
    "sample-formats": "sample_formats",
    "channels-min": "channels_min",
    "channels-max": "channels_max",
    "buffer-size": "buffer_size",
}
_TEXTS: Final = {
    "card": {"backend": "backend", "short-name": "short_name", "long-name": "long_name"},
    "pcm": {"name": "name"},
    "stream": {"unique-id": "unique_id", "type": "type"},
}


def read_sound(settings: XlSettings) -> tuple[Vsnd, ...]:
    found = [_card(settings, card) for card in settings.lists("vsnd")]
    return tuple(card for card in found if card is not None)


def _card(settings: XlSettings, card: XlList) -> Vsnd | None:
    fields: dict[str, Any] = {}
    pcms: list[dict[str, Any]] = []
    right = True
    for item in settings.texts_of("vsnd", card):
        words = Words(settings, "vsnd", item)
        kind, values = _item(words)
        right = right and words.right
        if kind == "card":
            fields |= values
        elif kind == "pcm":
            pcms.append({"streams": []} | values)
        elif kind == "stream":
            if not pcms:
                pcms.append({"streams": []})
            pcms[-1]["streams"].append(SoundStream(**values))
    if not right:
        return None
    try:
        return build_device(Vsnd, "vsnd", **fields, pcms=tuple(SoundDevice(**pcm) for pcm in pcms))
    except ConfigError as error:
        settings.wrong("vsnd", XlText("", card.line, card.column), f"vsnd: {error.message}")
        return None


def _item(words: Words) -> tuple[str, dict[str, Any]]:
    """The kind of a text, which is its first word, and its values."""
    given = words.words()
    kind = given[0].lower() if given else ""
    if kind not in _TEXTS:
        words.wrong(f"'{kind[:40]}' is no part of a card", "card, pcm or stream")
        return "", {}
    values: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for word in given[1:]:
        key, equals, value = word.partition("=")
        if equals and key in _PARAMETERS:
            parameters[_PARAMETERS[key]] = _parameter(words, key, value)
        elif equals and key in _TEXTS[kind]:
            values[_TEXTS[kind][key]] = value
        else:
            words.unknown(word, (*_TEXTS[kind], *_PARAMETERS))
    if "type" in values:
        values["type"] = words.choice("type", values["type"], ("p", "c"))
    if parameters:
        values["params"] = SoundParameters(**parameters)
    return kind, values


def _parameter(words: Words, key: str, value: str) -> Any:
    if key == "sample-rates":
        return tuple(words.number(key, part, _UINT) for part in value.split(";") if part)
    if key == "sample-formats":
        return tuple(words.choice(key, part, FORMATS) for part in value.split(";") if part)
    return words.number(key, value, _UINT)
