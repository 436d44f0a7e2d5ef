"""The renderer `unity`: a Unity player that applies what Python sends, driven through ML-Agents."""
