"""The onnxruntime package, imported with its telemetry switched off.

From version 1.29 on, importing onnxruntime on Linux and macOS starts an uploader, and writes a device id and a database
below ~/.cache, unless an environment variable says otherwise beforehand. Worker processes inherit that variable.
`disable_telemetry_events` stops what remains: sessions where onnxruntime was imported before us, events on Windows.
Source: github.com/microsoft/onnxruntime, pull request 27379; docs/Privacy.md there.
"""

import os

OFF = "ORT_DISABLE_TELEMETRY"
"""Environment variable that, set before the import, keeps onnxruntime from collecting anything."""

os.environ[OFF] = "1"

import onnxruntime as onnxruntime  # noqa: E402

onnxruntime.disable_telemetry_events()
