"""What every application here takes from its environment for its client."""

import os


def configured(config):
    """A client's configuration of its own kind: the defaults but for what the environment says."""
    settings = {"server_url": os.environ["WATCHKEEPER_URL"]}
    if level := os.environ.get("PRIVACY_LEVEL"):
        settings["privacy_level"] = int(level)
    if header := os.environ.get("USER_ID_HEADER"):
        settings["get_user_id"] = lambda request: request.headers.get(header)
    return config(**settings)
