"""The road, one file a stage: intake, route, transform, process, deliver, respond, retry, replay."""
