"""Programs in other languages that run the shipped model: templates, with the model's sizes put in.

Names of strangers are never put into a program's text: programs read names from model.json, or from the model.
"""

from importlib import resources

from quantseg.shipping.facts import AppFacts

PROGRAMS = (
    "README.md",
    "android/Masks.kt",
    "cpp/mask.cpp",
    "csharp/Mask.cs",
    "flutter/masks.dart",
    "ios/Masks.swift",
    "javascript/mask.mjs",
    "python/mask.py",
)


def programs(facts: AppFacts) -> dict[str, str]:
    """Path below native/ → text."""
    height, width = facts.size
    words = {
        "@HEIGHT@": str(height),
        "@WIDTH@": str(width),
        "@CHANNELS@": "1" if facts.channels == "GRAY" else "3",
        "@RESIZE@": facts.resize,
    }
    folder = resources.files(__name__)
    found = {path: (folder / path).read_text(encoding="utf-8") for path in PROGRAMS}
    for word, value in words.items():
        found = {path: text.replace(word, value) for path, text in found.items()}
    return found
