"""The events, topics and envelope that every part of Connected Inbox shares."""
