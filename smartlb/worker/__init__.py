"""The process that moves the traffic: everything of the data path, joined."""
