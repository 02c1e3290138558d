import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests and benchmarks that import onnxruntime before quantseg does
